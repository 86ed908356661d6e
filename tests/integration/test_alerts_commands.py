"""`clawd alerts` against a real control socket over a desk of alerts, its commands run in this process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from clawd.alerts.base import RULES, Silence, TargetTrouble
from clawd.cli.main import run
from clawd.errors import EXIT_FAILED, EXIT_TRY_LATER, EXIT_USAGE
from clawd.ids import delivery_id
from clawd.journal.reading import DeliveryView
from clawd.messages import Address
from tests.fakes.alert_desk import alert
from tests.fakes.shell import Result, Shell, at_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clawd.journal.base import OutboxState
    from tests.fakes.control_services import World

pytestmark = pytest.mark.usefixtures("server")

Here = Callable[..., Awaitable[Result]]


@pytest.fixture
def clawd(state_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """Return `clawd` as a function that runs it in a thread of this process: quicker than one of its own."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which it replaces

    async def run_here(*args: str, **environ: str) -> Result:
        with monkeypatch.context() as patch:
            for name, value in {**Shell(state_dir).environ, **environ}.items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = await asyncio.to_thread(run, args)
            return Result(code, *capsys.readouterr())

    return run_here


TARGETS = ["telegram 12345", "https://hooks.example.com"]


def fire(world: World) -> None:
    began = datetime.now(UTC) - timedelta(minutes=5, seconds=20)
    world.desk.alerts = [
        alert("queue_age", "", state="pending", severity="warning", value=130, above=60, began_at=began),
        alert("error_rate", "", severity="warning", value=0.254, above=0.05, began_at=began),
        alert(began_at=began, detail="502 Bad Gateway\x1b[2J"),
        alert("disk", "", state="resolved", value=0.91, above=0.9, began_at=began),
    ]


PLACES = {
    "telegram 12345": Address(bridge="telegram", account="1", chat="12345"),
    "https://hooks.example.com": Address(bridge="_alerts", account="url", chat="0123456789abcdef"),
}


def deliver(world: World, *made: tuple[str, OutboxState, str], targets: Sequence[str] = TARGETS) -> None:
    """Let a test of the alerts make deliveries that stand so: the target, the state, and why."""
    world.desk.targets = [*targets]
    for target, state, why in made:
        name = delivery_id("fake", len(world.desk.deliveries) + 1)
        world.desk.deliveries.append(name)
        world.deliveries[name] = DeliveryView(
            id=name,
            conversation=PLACES[target],
            turn=None,
            state=state,
            attempt=1,
            remote_id=None,
            text="test",
            why=why,
        )


# --- list -------------------------------------------------------------------------------------------------


async def test_what_fires_is_listed_with_who_is_told(clawd: Here, world: World) -> None:
    fire(world)
    world.desk.targets = TARGETS
    shown = await clawd("alerts", "list")
    assert (shown.code, shown.err) == (0, "")
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[0] == ["STATE", "SEVERITY", "RULE", "LABEL", "VALUE", "LIMIT", "SINCE", "WHAT"]
    assert rows[1][:8] == ["pending", "warning", "queue_age", "-", "2", "min", "10", "s"]
    assert rows[2][:8] == ["firing", "warning", "error_rate", "-", "25.4", "%", "5", "%"]
    assert rows[3][:4] == ["firing", "critical", "bridge_down", "telegram"]
    assert r"502 Bad Gateway\x1b[2J" in shown.out
    assert "disk" not in shown.out
    assert rows[-1] == ["told:", "telegram", "12345,", "https://hooks.example.com"]


async def test_everything_is_what_is_over_and_each_rule_too(clawd: Here, world: World) -> None:
    fire(world)
    shown = await clawd("alerts", "list", "--all")
    assert "over at" in shown.out
    assert "journal_errors" in shown.out
    cells = {row[0]: row for row in map(str.split, shown.out.splitlines()) if row[-1:] == ["warning"]}
    assert cells["disk"][-9:-5] == ["off", "-", "-", "-"]  # no `min` and no window
    assert "told: nobody" in shown.out
    assert "alerts: {targets: " in shown.err
    every = (await clawd("alerts", "list", "--all", "--json")).json
    assert [len(every[key]) for key in ("alerts", "rules", "targets")] == [4, len(RULES), 0]
    few = (await clawd("alerts", "list", "--json")).json
    assert ([one["state"] for one in few["alerts"]], "rules" in few) == (
        ["pending", "firing", "firing"],
        False,
    )


async def test_without_alerts_the_list_says_that_nothing_fires(clawd: Here) -> None:
    assert (await clawd("alerts", "list")).out.splitlines()[0] == "nothing fires"


# --- status -----------------------------------------------------------------------------------------------


async def test_the_status_tells_what_fires_in_one_line_the_gravest_first(clawd: Here, world: World) -> None:
    assert "alerts" not in (await clawd("status")).out
    fire(world)
    line = "2 alerts: telegram is down for 5 min; 25.4 % of the turns fail for 5 min"
    assert f"alerts   {line}" in (await clawd("status")).out.splitlines()
    assert [one["rule"] for one in (await clawd("status", "--json")).json["alerts"]] == [
        "bridge_down",
        "error_rate",
    ]
    coloured = (await clawd("status", FORCE_COLOR="1")).out
    assert "\x1b[31mtelegram is down" in coloured
    assert "\x1b[33m25.4 %" in coloured


async def test_a_target_that_is_not_reached_is_shown(clawd: Here, world: World) -> None:
    world.desk.targets = TARGETS
    since = datetime.now(UTC) - timedelta(minutes=5, seconds=2)
    assert "not reached" not in (await clawd("alerts", "list")).out + (await clawd("status")).out
    world.desk.trouble = [TargetTrouble(target=TARGETS[1], since=since, why="connection refused", attempts=7)]
    line = "not reached: https://hooks.example.com for 5 min: connection refused"
    assert line in (await clawd("alerts", "list")).out.splitlines()
    assert line in (await clawd("status")).out
    (told,) = (await clawd("alerts", "list", "--json")).json["trouble"]
    assert (told["target"], told["attempts"]) == (TARGETS[1], 7)


async def test_that_nobody_can_be_told_is_shown_loudly(clawd: Here, state_dir: Path, world: World) -> None:
    fire(world)
    since = datetime.now(UTC) - timedelta(seconds=20)
    world.desk.targets = TARGETS[1:2]
    world.desk.trouble = [TargetTrouble(target=TARGETS[1], since=since, why="connection refused", attempts=3)]
    line = "NOBODY is told of this: not reached: https://hooks.example.com for 20 s: connection refused"
    for command in (("alerts", "list"), ("status",)):
        assert line[:60] in (await clawd(*command)).out
    assert "\x1b[31mNOBODY" in (await clawd("status", FORCE_COLOR="1")).out
    assert (await clawd("alerts", "list", "--json")).json["nobody_told"] is True
    _, shown = await asyncio.to_thread(at_terminal, Shell(state_dir))
    assert "NOBODY is told of this" in shown
    world.desk.targets, world.desk.trouble = [], []
    assert "nobody is told of this: no target is configured" in (await clawd("status")).out


async def test_the_summary_tells_what_fires_and_leads_to_the_list(state_dir: Path, world: World) -> None:
    fire(world)
    world.desk.alerts = world.desk.alerts[:2]
    _, shown = await asyncio.to_thread(at_terminal, Shell(state_dir))
    assert "alerts:  " in shown
    assert "25.4 % of the turns fail for 5 min" in shown


# --- test -------------------------------------------------------------------------------------------------


CHAT, URL = TARGETS


async def test_a_test_that_arrives_everywhere_exits_0(clawd: Here, world: World) -> None:
    deliver(world, (URL, "sent", ""), (CHAT, "sent", ""), (URL, "sent", ""))
    result = await clawd("alerts", "test")
    assert (result.code, result.err, world.desk.tested) == (0, "", 1)
    assert result.out == "telegram 12345  delivered\nhttps://hooks.example.com  delivered\n"


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("dead", EXIT_FAILED, "not delivered: 403 chat not found  (clawd trace delivery:fake-3)"),
        ("unknown", EXIT_FAILED, "perhaps delivered: 403 chat not found  (clawd trace delivery:fake-3)"),
        ("parked", EXIT_FAILED, "kept until that person writes again: 403 chat not found"),
        ("pending", EXIT_TRY_LATER, "not yet delivered: 403 chat not found  (clawd trace delivery:fake-3)"),
    ],
)
async def test_a_test_that_does_not_arrive_says_where_and_why(
    clawd: Here, world: World, state: OutboxState, code: int, words: str
) -> None:
    deliver(world, (CHAT, "sent", ""), (URL, "sent", ""), (URL, state, "403 chat not found"))
    result = await clawd("alerts", "test", "--timeout", "0.2")
    assert result.code == code
    assert f"https://hooks.example.com  {words}" in result.out
    told = (await clawd("alerts", "test", "--timeout", "0", "--json")).json
    assert told["ok"] is False
    assert [one["state"] for one in told["targets"]] == ["sent", state]


async def test_a_target_that_nobody_knows_the_way_to_is_told_as_not_sent(clawd: Here, world: World) -> None:
    deliver(world, (URL, "sent", ""))
    result = await clawd("alerts", "test")
    assert result.code == EXIT_FAILED
    assert "telegram 12345  not sent: the way to this chat is not known" in result.out


async def test_two_urls_of_one_host_are_told_apart(clawd: Here, world: World) -> None:
    deliver(world, (URL, "sent", ""), targets=[URL, URL])
    other = replace(PLACES[URL], chat="fedcba9876543210")
    [first] = world.desk.deliveries
    second = delivery_id("fake", 2)
    world.desk.deliveries.append(second)
    world.deliveries[second] = replace(
        world.deliveries[first], id=second, conversation=other, state="dead", why="404"
    )
    result = await clawd("alerts", "test")
    assert [line.partition("  ")[2] for line in result.out.splitlines()] == [
        "delivered",
        "not delivered: 404  (clawd trace delivery:fake-2)",
    ]


async def test_a_test_waits_for_what_is_on_its_way(clawd: Here, world: World) -> None:
    deliver(world, (CHAT, "sending", ""), targets=[CHAT])
    [name] = world.desk.deliveries

    def arrive() -> None:
        world.deliveries[name] = replace(world.deliveries[name], state="sent")

    world.when_traced = arrive
    assert (await clawd("alerts", "test")).out == "telegram 12345  delivered\n"


async def test_a_test_with_nobody_to_tell_says_what_to_write_where(clawd: Here) -> None:
    result = await clawd("alerts", "test")
    assert (result.code, result.out) == (EXIT_FAILED, "")
    what, where, why, remedy = result.err.splitlines()
    assert what == "error[E-STATE]: nobody is told of alerts"
    assert where == "where: /etc/clawd/config.yaml"
    assert why == "why: alerts.targets names nobody"
    assert "alerts: {targets: [{bridge: telegram, chat: 12345}" in remedy


# --- silence ----------------------------------------------------------------------------------------------


async def test_alerts_are_silenced_listed_and_told_again(clawd: Here, world: World) -> None:
    made = await clawd("alerts", "silence", "bridge-down=telegram", "--for", "2h", "--why", "moving house")
    assert (made.code, made.out) == (0, "silence:00000000\n")
    assert "bridge_down=telegram is silent until" in made.err
    [silence] = world.desk.silences
    assert (silence.rule, silence.label, silence.why) == ("bridge_down", "telegram", "moving house")
    assert silence.by == f"terminal:{os.getuid()}"
    assert abs(silence.until - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)
    listed = await clawd("alerts", "silence", "--list")
    assert "moving house" in listed.out
    assert (await clawd("alerts", "silence", "--list", "--json")).json["silences"][0]["id"] == silence.id
    ended = await clawd("alerts", "silence", "--end", silence.id)
    assert (ended.out, world.desk.silences) == (f"{silence.id} is over\n", [])
    gone = await clawd("alerts", "silence", "--end", silence.id)
    assert (gone.code, "there is no silence" in gone.err) == (EXIT_FAILED, True)


async def test_silences_are_ended_by_what_they_are_about(clawd: Here, world: World) -> None:
    for which in ("bridge-down=telegram", "disk"):
        await clawd("alerts", "silence", which)
    wrong = await clawd("alerts", "silence", "--end", "bridge_down=phone")
    assert (wrong.code, "silent: bridge_down=telegram, disk" in wrong.err) == (EXIT_FAILED, True)
    assert (await clawd("alerts", "silence", "--end", "bridge-down")).code == 0
    assert [silence.rule for silence in world.desk.silences] == ["disk"]


async def test_without_a_rule_everything_is_silent_for_an_hour(clawd: Here, world: World) -> None:
    made = (await clawd("alerts", "silence", "--json")).json
    assert (made["rule"], made["label"]) == (None, None)
    assert abs(world.desk.silences[0].until - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    await clawd("alerts", "silence", "disk", "--until", "23:59")
    assert (await clawd("alerts", "silence", "--end", "all", "--json")).json["ended"] == [
        "silence:00000000",
        "silence:00000001",
    ]
    assert world.desk.silences == []
    assert "nothing is silenced" in (await clawd("alerts", "silence", "--list")).err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["bridge_donw"], "did you mean bridge_down?"),
        (["weather"], "rules: error_rate, model_error_rate"),
        (["bridge_down=telegrm"], "did you mean bridge_down=telegram?"),
        (["disk=/"], "the rule disk has no label"),
        (["budget=model dmeo"], "did you mean budget=model demo?"),
        (["=telegram"], "expected RULE or RULE=LABEL"),
        (["disk="], "expected RULE or RULE=LABEL"),
        (["disk", "--for", "soon"], "'soon' is no span of time"),
        (["disk", "--until", "yesterday"], "neither a span nor a date"),
        (["disk", "--until", "2001-01-01"], "has passed already"),
        (["disk", "--for", "9y"], "a silence can't be that long"),
        (["disk", "--for", "2h", "--until", "18:00"], "leave one out"),
        (["disk", "--list"], "one at a time"),
        (["--end", "x", "--for", "2h"], "one at a time"),
        (["disk", "--why", "x" * 201], "at most 200 characters"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused_with_the_way_out(
    clawd: Here, world: World, args: list[str], words: str
) -> None:
    result = await clawd("alerts", "silence", *args)
    assert (result.code, result.out) == (EXIT_USAGE, "")
    assert words in result.err
    assert world.desk.silences == []


async def test_what_the_desk_refuses_is_passed_on(clawd: Here, world: World) -> None:
    world.desk.full = True
    refused = await clawd("alerts", "silence", "disk")
    assert (refused.code, "there are 100 silences already" in refused.err) == (EXIT_FAILED, True)


async def test_a_silenced_alert_is_told_to_be_so(clawd: Here, world: World) -> None:
    fire(world)
    await clawd("alerts", "silence", "bridge_down")
    assert isinstance(world.desk.silences[0], Silence)
    assert "firing, silenced" in (await clawd("alerts", "list")).out
    [line] = [line for line in (await clawd("status")).out.splitlines() if line.startswith("alerts")]
    assert line.endswith("turns fail for 5 min; telegram is down for 5 min (silenced)")
