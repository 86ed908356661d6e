"""The live picture of a daemon: on screens of any size, with what matters first."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clawd.alerts.base import TargetTrouble
from clawd.bridge import BridgeStatus
from clawd.cli.printing import columns
from clawd.cli.seen import Seen
from clawd.cli.watch_view import clip, frame
from clawd.client import NoAnswer
from clawd.control.protocol import BudgetStatus, Lags, Status, Totals
from clawd.errors import DaemonNotRunning
from clawd.journal.reading import QueueStats
from clawd.journal.spend import UsageRow
from clawd.jsonable import json_object
from clawd.models.info import ModelInfo, TrafficView
from clawd.models.states import BreakerState
from tests.fakes.alert_desk import alert

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

STATUS = Status(
    version="0.1.0",
    protocol=1,
    pid=7,
    started_at=NOW,
    uptime_s=90061,
    state="ready",
    rss_bytes=44 << 20,
    state_dir="/var/lib/clawd",
    config_path=None,
    config_error="",
    socket="/run/clawd/clawd.sock",
    gateway=None,
    queue=QueueStats(
        queued=2, running=1, oldest_age_s=3, deliveries_open=4, dead=5, conversations=6, last_id=7
    ),
    bridges=[
        BridgeStatus(name="telegram", type="telegram", state="connected", since=NOW),
        BridgeStatus(name="hook", type="webhook", state="bad_credentials", since=NOW, error="401: new key"),
    ],
    models=[
        ModelInfo(
            name="main",
            type="chat",
            model="big",
            place="https://api.example.com",
            found="config",
            routes=("default",),
            traffic=TrafficView(
                window_s=300,
                calls=60,
                errors=3,
                calls_per_min=12.0,
                first_token_p95_s=1.93,
                total_p95_s=7.83,
            ),
        ),
        ModelInfo(
            name="standby",
            type="chat",
            model="small",
            place="https://api.example.com",
            found="config",
            routes=(),
            breaker=BreakerState(state="open", why="5 of 5 requests failed"),
        ),
    ],
    route=("main",),
    today=UsageRow(name="", calls=30, input_tokens=12000, output_tokens=300, cost_usd=0.12),
    budgets=[
        BudgetStatus(budget="day", of="", limit_usd=5, spent_usd=4.5, left_usd=0.5, warn_at=0.8, ends_at=None)
    ],
    alerts=[alert(began_at=NOW - timedelta(minutes=5), detail="502 Bad Gateway")],
    totals=Totals(messages=1300),
    lags=Lags(bounds_s=(0.01, 0.1), counts=(0, 0, 0)),
)


def seen_of(status: Status = STATUS) -> Seen:
    """A daemon whose messages came at one a second for the last minute."""
    seen = Seen()
    for at in range(61):
        lags = Lags(bounds_s=(0.01, 0.1), counts=(at, 1 if at > 50 else 0, 0))
        now = replace(
            status, totals=Totals(messages=1240 + at, turns=at / 2, turns_failed=at / 10), lags=lags
        )
        seen.answered(json_object(now), at, NOW)
    return seen


def lines_of(seen: Seen, width: int = 100, height: int = 50, **options: Any) -> list[str]:
    return frame(seen, width, height, NOW + timedelta(seconds=2), **options)


def test_the_picture_has_all_that_a_person_wants_to_see() -> None:
    text = "\n".join(lines_of(seen_of()))
    assert text.startswith("clawd 0.1.0  ready  up 1 d 1 h  44.0 MB  loop lag below 100 ms  ")
    assert "telegram is down for 5 min  502 Bad Gateway" in text
    assert re.search(r"messages +60\.0 +▇?█+ +1,300\n", text)
    assert re.search(r"turns +30\.0 ", text)
    assert re.search(r"deliveries +0 +▁+ +0\n", text)
    assert "6.0 turns a minute fail" in text
    assert "queue  2 queued, 1 running, oldest 3.0 s, 4 to deliver, 5 given up" in text
    assert "today  30 calls, 12,000 tokens in, 300 out, $0.12" in text
    assert "budget day  $4.50 of $5.00 (90%)" in text
    assert re.search(r"  hook +bad_credentials +since \S.* +401: new key", text)
    assert re.search(r"  main +closed +12\.0 +5 % +7\.8 +1\.9 +1\.", text)
    assert re.search(r"  standby +open +- .*\n +open: 5 of 5 requests failed", text)


@pytest.mark.parametrize(("width", "height"), [(60, 24), (20, 10), (40, 3), (200, 80), (1, 1)])
def test_the_picture_fits_on_every_screen(width: int, height: int) -> None:
    for seen in (seen_of(), away(seen_of()), away(Seen())):
        lines = lines_of(seen, width, height)
        assert len(lines) <= height
        assert all(columns(re.sub(r"\x1b\[\d*m", "", line)) <= width for line in lines)


def test_sixty_columns_show_every_number_of_a_model() -> None:
    text = "\n".join(lines_of(seen_of(), 60))
    assert re.search(r"  main +closed +12\.0 +5 % +7\.8 +1\.9", text)


WIDE = replace(
    STATUS,
    journal_pause="磁盘已满：" + "没有空间写入日志 " * 6,
    config_error="config.yaml:12:5: " + "未知的键 " * 20,
    bridges=[
        BridgeStatus(
            name="微信公众号" * 5,
            type="wechat",
            state="transient_disconnect",
            since=NOW,
            error="连接被拒绝 " * 40,
        )
    ],
    models=[replace(STATUS.models[0], name="深度求索" * 8, last_error="服务器没有回应 " * 30)],
    alerts=[alert(began_at=NOW - timedelta(minutes=5), label="电报", detail="网关错误 " * 30)],
    untold=[
        TargetTrouble(
            target="https://例子.example/hook", since=NOW - timedelta(minutes=7), why="连接被拒绝 " * 30
        )
    ],
)


@pytest.mark.parametrize("width", [*range(20, 25), 39, 60, 79, 80, 133, 200, 300])
@pytest.mark.parametrize("colour", ["", "1"])
def test_wide_characters_pass_no_edge(width: int, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", colour)
    for height in (5, 24, 60):
        lines = lines_of(seen_of(WIDE), width, height)
        assert len(lines) <= height
        assert max(columns(re.sub(r"\x1b\[\d*m", "", line)) for line in lines) <= width


def test_who_could_not_be_told_of_alerts_is_shown() -> None:
    text = "\n".join(lines_of(seen_of(WIDE)))
    assert "not told of alerts\n  https://例子.example/hook for 7 min: 连接被拒绝" in text
    assert "journal  paused: 磁盘已满" in text
    nobody = "\n".join(lines_of(seen_of(replace(STATUS, nobody_told=True))))
    assert "NOBODY is told of this\n  no target is configured" in nobody
    assert "told" not in "\n".join(lines_of(seen_of()))


def test_the_whole_width_is_used() -> None:
    text = "\n".join(lines_of(seen_of(WIDE), 300))
    assert "微信公众号" * 5 in text
    for line in lines_of(seen_of(WIDE), 240):
        if line.endswith("…"):
            assert columns(line) >= 239, "one column is too few for a wide character"


def test_what_is_longer_than_a_narrow_screen_goes_on_below_where_there_is_room() -> None:
    high = lines_of(seen_of(), 50, 60)
    assert "       deliver, 5 given up, 6 conversations," in high
    assert (
        high[high.index(next(line for line in high if line.startswith("  hook"))) + 1] == "    401: new key"
    )
    assert not [line for line in high if line and not line.strip()]
    assert "5 given up" not in "\n".join(lines_of(seen_of(), 50, 18)), "lists come before that"


def test_a_low_screen_shortens_the_longest_lists_and_says_by_how_much() -> None:
    models = [replace(STATUS.models[0], name=f"model-{number}") for number in range(30)]
    lines = lines_of(seen_of(replace(STATUS, models=models)), 100, 30)
    assert len(lines) == 30
    assert "  hook" in "\n".join(lines)
    shown = sum("model-" in line for line in lines)
    assert lines[-1] == f"  … {30 - shown} lines more"


def test_on_a_very_low_screen_what_matters_first_stays() -> None:
    lines = lines_of(seen_of(), 60, 6)
    assert lines[0].startswith("clawd 0.1.0")
    assert "telegram is down" in lines[2]
    assert lines[-1] == "… a taller window shows more"


def away(seen: Seen) -> Seen:
    seen.error = DaemonNotRunning("/run/clawd.sock", why="No such file")
    return seen


def test_a_daemon_that_is_away_is_said_to_be_so_and_its_last_words_to_be_old() -> None:
    lines = lines_of(away(seen_of()))
    assert lines[0] == "no clawd daemon is running; what follows is 2.0 s old"
    assert lines[1].startswith("clawd 0.1.0  ready")
    stuck = seen_of()
    stuck.error = NoAnswer("the daemon does not answer")
    assert lines_of(stuck)[0].startswith("the daemon does not answer; what follows")
    never = lines_of(away(Seen()))
    assert never == ["no clawd daemon is running (/run/clawd.sock), waiting for it"]


def test_what_is_old_has_no_colours_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mready" in lines_of(seen_of())[0]
    old = lines_of(away(seen_of()))
    assert old[1].startswith("\x1b[2mclawd 0.1.0  ready")


def test_colours_say_how_grave_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = "\n".join(lines_of(seen_of()))
    assert "\x1b[31mtelegram is down" in text
    assert "\x1b[31mopen\x1b[0m" in text
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "\n".join(lines_of(seen_of()))


def test_bars_are_ascii_where_the_terminal_knows_no_more() -> None:
    text = "\n".join(lines_of(seen_of(), plain=True)[:8])
    assert "######" in text
    assert "█" not in text


def test_control_characters_from_outside_reach_no_terminal() -> None:
    bad = "\x1b]0;x\x07"
    status = replace(
        STATUS,
        bridges=[BridgeStatus(name="t", type="t", state="stopped", since=NOW, error=bad)],
        models=[replace(STATUS.models[0], name=f"m{bad}", last_error=bad)],
        alerts=[alert(label=bad, detail=bad, began_at=NOW)],
        config_error=bad,
    )
    assert "\x1b" not in "".join(lines_of(seen_of(status)))


def test_a_painted_line_is_cut_by_what_is_seen_of_it() -> None:
    assert clip("\x1b[31mred\x1b[0m and more", 5) == "\x1b[31mred\x1b[0m \x1b[0m…"
    assert clip("你好你好", 5) == "你好…"
    assert clip("\x1b[31mred\x1b[0m", 3) == "\x1b[31mred\x1b[0m"


def test_a_daemon_of_an_older_version_is_shown_without_what_it_does_not_tell() -> None:
    old = json_object(STATUS)
    for key in ("totals", "lags", "alerts", "budgets"):
        del old[key]
    seen = Seen()
    seen.answered(old, 0, NOW)
    assert lines_of(seen)[0].startswith("clawd 0.1.0  ready")
