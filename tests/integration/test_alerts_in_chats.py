"""/alerts, and alerts in /status and /help: for owners in private chats, and for nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from clawd.alerts.base import Silence, TargetTrouble
from clawd.config.schema import AccessConfig
from clawd.messages import Replied
from clawd.testing import ManualClock
from clawd.texts import say
from tests.fakes.alert_desk import alert
from tests.fakes.inner import Inner

if TYPE_CHECKING:
    from pathlib import Path

OWNER: dict[str, Any] = {"sender": "7", "chat": "7"}


def inside(state_dir: Path) -> Inner:
    """Return the inside of a daemon whose owner is 7, and that lets everybody else in."""
    access = AccessConfig(default="allow", rate="100000/s", owners=("chat:7",))
    return Inner(state_dir, access=access, clock=ManualClock())


def fire(inner: Inner) -> None:
    began = inner.clock.now() - timedelta(minutes=5)
    inner.desk.alerts = [
        alert("error_rate", "", severity="warning", value=0.254, above=0.05, began_at=began),
        alert("queue_age", "", state="pending", value=130, above=60, began_at=began),
        alert(began_at=began),
    ]


async def told(inner: Inner, text: str, **fields: Any) -> list[str]:
    """Return the lines of an answer that makes no turn."""
    result = await inner.accept(text, **fields)
    assert isinstance(result, Replied)
    return result.text.splitlines()


async def test_an_owner_is_told_what_fires_the_gravest_first(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        assert await told(inner, "/alerts", **OWNER) == ["Nothing is wrong."]
        fire(inner)
        lines = await told(inner, "/alerts", **OWNER)
        assert lines[:2] == ["1. telegram is down for 5 min", "2. 25.4 % of the turns fail for 5 min"]
        assert (lines[2], "/alerts silence NUMBER" in lines[3]) == ("", True)
        chinese = await told(inner, "/alerts", language="zh", **OWNER)
        assert chinese[0] == "1. telegram 未连接，已持续 5 min"


async def test_an_owner_is_told_who_else_is_not_told(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        since = inner.clock.now()
        inner.desk.trouble = [TargetTrouble(target="chat 9", since=since, why="Forbidden: blocked")]
        assert await told(inner, "/alerts", **OWNER) == [
            "Nothing is wrong.",
            "Not told: chat 9: Forbidden: blocked",
        ]
        assert (await told(inner, "/alerts", language="zh", **OWNER))[
            1
        ] == "无法通知：chat 9：Forbidden: blocked"


async def test_the_status_tells_owners_what_fires_in_one_line(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        before = len(await told(inner, "/status", **OWNER))
        fire(inner)
        lines = await told(inner, "/status", **OWNER)
        assert len(lines) == before + 1
        assert lines[-1] == "alerts (2): telegram is down for 5 min; 25.4 % of the turns fail for 5 min"
        assert len(await told(inner, "/status")) == before, "others are told nothing"
        assert len(await told(inner, "/status", **OWNER, group=True)) == before, "others read along"


async def test_nobody_else_reads_or_silences_alerts(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        fire(inner)
        for fields in ({"sender": "42"}, {**OWNER, "group": True}):
            for text in ("/alerts", "/alerts silence 1", "/alerts silence"):
                assert await told(inner, text, **fields) == [say("alerts_owners_only")]
        assert inner.desk.silences == []
        assert say("help_owner") in await told(inner, "/help", **OWNER)
        assert say("help_owner") not in await told(inner, "/help")


async def test_an_owner_silences_by_number_by_rule_and_all(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        fire(inner)
        lines = await told(inner, "/alerts silence 1 2h", **OWNER)
        until = inner.clock.now() + timedelta(hours=2)
        assert lines == [f"Silent until {until:%Y-%m-%d %H:%M} UTC: bridge_down=telegram"]
        await told(inner, "/alerts silence error-rate 30m", **OWNER)
        await told(inner, "/alerts silence budget=model main 1d", **OWNER)
        await told(inner, "/alerts SILENCE", **OWNER)
        made = [(one.rule, one.label, one.by, one.until - inner.clock.now()) for one in inner.desk.silences]
        assert made == [
            ("bridge_down", "telegram", "chat:7", timedelta(hours=2)),
            ("error_rate", None, "chat:7", timedelta(minutes=30)),
            ("budget", "model main", "chat:7", timedelta(days=1)),
            (None, None, "chat:7", timedelta(hours=1)),
        ]
        lines = await told(inner, "/alerts", **OWNER)
        assert lines[0].endswith("(silenced)")
        assert sum(line.startswith("Silent until") for line in lines) == 4


async def test_a_silence_that_makes_no_sense_is_answered_and_changes_nothing(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        fire(inner)
        assert await told(inner, "/alerts silence 3", **OWNER) == [
            "There is no alert 3. Did you mean /alerts?"
        ]
        assert await told(inner, "/alerts silence bridge_donw 2h", **OWNER) == [
            "There is no alert bridge_donw. Did you mean bridge_down?"
        ]
        assert await told(inner, "/alerts silence disk=/ 2h", **OWNER) == [
            "There is no alert disk=/. Did you mean disk?"
        ]
        assert await told(inner, "/alerts silence bridge_down=telegarm 2h", **OWNER) == [
            "There is no alert bridge_down=telegarm. Did you mean bridge_down=telegram?"
        ]
        assert await told(inner, "/alerts silence error_rate 5x", **OWNER) == [say("alerts_usage")]
        assert await told(inner, "/alerts silence 1 9y", **OWNER) == ["At most 31 days."]
        assert await told(inner, "/alerts loud", **OWNER) == [say("alerts_usage")]
        inner.desk.full = True
        assert await told(inner, "/alerts silence 1", **OWNER) == [
            "There are 100 silences already. End one first: /alerts end NAME"
        ]
        chinese = await told(inner, "/alerts silence 1", language="zh", **OWNER)
        assert chinese == ["静音已有 100 条，请先取消一条：/alerts end 名称"]
        assert inner.desk.silences == []


async def test_an_owner_ends_silences_by_number_by_rule_and_all(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        fire(inner)
        assert await told(inner, "/alerts end", **OWNER) == ["Nothing is silenced."]
        for what in ("1", "error_rate 2h", "disk 3h", "budget=day 4h", "budget=month 5h"):
            await told(inner, f"/alerts silence {what}", **OWNER)
        assert await told(inner, "/alerts end 3", **OWNER) == [
            "There is no silence about 3. Silent: bridge_down=telegram, error_rate, disk, budget=day, budget=month"
        ]
        assert await told(inner, "/alerts end 1", **OWNER) == ["No longer silent: bridge_down=telegram"]
        assert not (await told(inner, "/alerts", **OWNER))[0].endswith("(silenced)")
        assert await told(inner, "/alerts END error-rate", **OWNER) == ["No longer silent: error_rate"]
        assert await told(inner, "/alerts end budget=day", **OWNER) == ["No longer silent: budget=day"]
        assert await told(inner, "/alerts end budget=day", **OWNER) == [
            "There is no silence about budget=day. Silent: disk, budget=month"
        ]
        assert await told(inner, "/alerts end", language="zh", **OWNER) == [
            "已取消静音：disk",
            "已取消静音：budget=month",
        ]
        assert inner.desk.silences == []


async def test_a_silence_about_everything_is_ended_in_its_own_words(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        await told(inner, "/alerts silence", **OWNER)
        lines = await told(inner, "/alerts", language="zh", **OWNER)
        assert lines[-1] == "/alerts end 全部 取消该静音，/alerts end 取消全部静音。"
        assert await told(inner, "/alerts end 全部", language="zh", **OWNER) == ["已取消静音：全部"]


async def test_nobody_else_ends_a_silence(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        await told(inner, "/alerts silence", **OWNER)
        for fields in ({"sender": "42"}, {**OWNER, "group": True}):
            assert await told(inner, "/alerts end", **fields) == [say("alerts_owners_only")]
        assert len(inner.desk.silences) == 1


@pytest.mark.parametrize(("language", "answer"), [("en", "Nothing has changed"), ("zh", "没有任何更改")])
async def test_a_journal_that_can_not_be_written_is_told_in_the_senders_language(
    state_dir: Path, language: str, answer: str
) -> None:
    async with inside(state_dir) as inner:
        inner.desk.unwritable = True
        (line,) = await told(inner, "/alerts silence", language=language, **OWNER)
        assert line.startswith(answer)


async def test_a_message_that_comes_twice_makes_one_silence(state_dir: Path) -> None:
    async with inside(state_dir) as inner:
        fire(inner)
        for _ in range(2):
            await told(inner, "/alerts silence 1 2h", id="update-1", **OWNER)
        assert len(inner.desk.silences) == 1
        assert isinstance(inner.desk.silences[0], Silence)
