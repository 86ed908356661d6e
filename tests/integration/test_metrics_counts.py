"""What is counted, where it happens: each thing once, after its commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clawd.agent.offline import FIRST_S
from clawd.bridge import BridgeConfig
from clawd.config.schema import AccessConfig, AgentConfig
from clawd.errors import (
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnknown,
    JournalUnavailable,
    ModelsExhausted,
    ModelUnavailable,
)
from clawd.messages import Duplicate, Unreadable
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.inner import PATIENCE_S, Inner, message
from tests.fakes.tools import AskingTool, ScriptedTool, call

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from clawd.observability.counts import Counter, Counts

OPEN_TO_TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")


def numbers(counter: Counter) -> Mapping[tuple[str, ...], float]:
    return {labels: number for labels, number in counter.numbers().items() if number}


def turns(counts: Counts) -> float:
    return sum(counts.turns.numbers().values())


async def test_a_message_is_counted_once_however_often_it_is_brought(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        same = message("hi", id="same")
        await inner.inbox.accept([same])
        assert isinstance((await inner.inbox.accept([same]))[0], Duplicate)
        await inner.inbox.accept([message(f"{n}") for n in range(3)])
        assert numbers(inner.counts.received) == {("chat",): 4}


async def test_each_end_of_a_turn_is_counted_once_with_how_long_it_took(state_dir: Path) -> None:
    clock, held = ManualClock(), asyncio.Event()
    model = ScriptedModel("fine", ModelUnavailable("scripted", "down"), [held])
    async with Inner(state_dir, model=model, clock=clock) as inner:
        await inner.ask("one")
        await inner.ask("two")
        third = await inner.say("three")
        await model.asked(3)
        clock.jump(20)  # as time that passes, for what outlives a process
        await inner.accept("/stop")
        await inner.ended(third)
        await inner.counted(lambda counts: turns(counts) == 3)
        assert numbers(inner.counts.turns) == {("answered",): 1, ("failed",): 1, ("cancelled",): 1}
        assert (sum(inner.counts.turn_s.counts), inner.counts.turn_s.total) == (3, 20)


async def test_a_turn_that_a_crash_cut_off_is_counted_by_the_run_that_ends_it(state_dir: Path) -> None:
    clock = ManualClock()
    model = ScriptedModel([asyncio.Event()], "done")
    async with Inner(state_dir, model=model, clock=clock) as inner:
        turn = await inner.say()
        await model.asked()
        before = inner.counts
        await inner.crash()
        clock.jump(7)
        await inner.start()
        await inner.ended(turn)
        await inner.counted(lambda counts: turns(counts) == 1)
        assert numbers(before.turns) == {}
        assert numbers(inner.counts.turns) == {("answered",): 1}
        assert inner.counts.turn_s.total == 7  # since it was accepted
        assert numbers(inner.counts.received) == {}  # that was the other run


async def test_the_time_that_a_person_takes_to_answer_is_not_the_turns(state_dir: Path) -> None:
    clock = ManualClock()
    tool, model = AskingTool(), ScriptedModel([call()], [asyncio.Event()], [call()], "Done.")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS, clock=clock) as inner:
        turn = await inner.say()
        await inner.bridge.until(lambda: any(m.kind == "question" for m in inner.bridge.sends))
        clock.jump(600)
        await inner.accept("/approve")
        await model.asked(2)
        clock.jump(7)  # the model's own time counts
        await inner.crash()
        await inner.start()
        await inner.bridge.until(lambda: [m.kind for m in inner.bridge.sends].count("question") == 2)
        clock.jump(300)
        await inner.accept("/approve")
        await inner.ended(turn)
        await inner.counted(lambda counts: turns(counts) == 1)
        assert inner.counts.turn_s.total == 7


async def test_a_turn_that_is_stopped_while_it_waits_took_no_longer_than_until_it_asked(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    model = ScriptedModel([call()])
    async with Inner(
        state_dir, model=model, tools=[AskingTool()], access=OPEN_TO_TOOLS, clock=clock
    ) as inner:
        turn = await inner.say()
        await inner.bridge.until(lambda: any(m.kind == "question" for m in inner.bridge.sends))
        clock.jump(600)
        await inner.accept("/stop")
        await inner.ended(turn)
        await inner.counted(lambda counts: turns(counts) == 1)
        assert inner.counts.turn_s.total == 0


async def test_the_time_without_a_network_is_not_the_turns(state_dir: Path) -> None:
    clock = ManualClock()
    away = ModelsExhausted("default", [ModelUnavailable("main", "no connection", offline=True)])
    model = ScriptedModel(away, away, "back")
    agent = AgentConfig(offline_wait_s=3600)
    async with Inner(state_dir, model=model, clock=clock, agent=agent) as inner:
        turn = await inner.say()
        for tries in (1, 2):
            async with asyncio.timeout(PATIENCE_S):
                await model.asked(tries)
                while (await inner.views.turn(turn)).waits_for != "network":
                    await asyncio.sleep(0.005)
            await clock.sleeping(1)
            await clock.advance(tries * FIRST_S)  # to when the next try is due, where it takes no time
        await inner.ended(turn)
        await inner.counted(lambda counts: turns(counts) == 1)
        assert inner.counts.turn_s.total == 0


async def test_a_clock_that_is_set_back_makes_no_negative_duration(state_dir: Path) -> None:
    clock, held = ManualClock(), asyncio.Event()
    model = ScriptedModel([held, "late"])
    async with Inner(state_dir, model=model, clock=clock) as inner:
        turn = await inner.say()
        await model.asked()
        clock.jump(-3600)
        held.set()
        await inner.ended(turn)
        await inner.counted(lambda counts: turns(counts) == 1)
        assert inner.counts.turn_s.total == 0


async def test_a_merged_message_ends_with_its_turn_as_one(state_dir: Path) -> None:
    held = asyncio.Event()
    tool, model = ScriptedTool(held), ScriptedModel([call()], "Both done.")
    agent = AgentConfig(busy="steer")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS, agent=agent) as inner:
        turn = await inner.say("first")
        await tool.called()
        more = await inner.say("and also this")
        held.set()
        await inner.ended(turn)
        assert (await inner.views.turn(more)).merged_into == turn
        await inner.settled()
        await inner.counted(lambda counts: turns(counts) >= 1)
        assert numbers(inner.counts.turns) == {("answered",): 1}
        assert numbers(inner.counts.received) == {("chat",): 2}


async def test_a_superseded_turn_and_the_one_in_its_place_are_two(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()], "newer")
    async with Inner(state_dir, model=model, agent=AgentConfig(busy="interrupt")) as inner:
        await inner.say("old")
        await model.asked()
        await inner.ask("new")
        await inner.counted(lambda counts: turns(counts) == 2)
        assert numbers(inner.counts.turns) == {("cancelled",): 1, ("answered",): 1}


async def test_a_turn_given_up_is_dead_and_a_dead_letter(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()], [asyncio.Event()])
    async with Inner(state_dir, model=model, agent=AgentConfig(max_attempts=1)) as inner:
        turn = await inner.say()
        await model.asked()
        await inner.restart()
        await inner.ended(turn)
        await inner.counted(lambda counts: bool(numbers(counts.given_up)))
        assert numbers(inner.counts.turns) == {("dead",): 1}
        assert numbers(inner.counts.given_up) == {("turn",): 1}


async def test_an_update_that_nobody_can_read_is_a_dead_letter(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        raw = Unreadable(id=message().id, bridge="chat", raw="?", why="no JSON")
        await inner.inbox.accept([raw])
        assert numbers(inner.counts.given_up) == {("update",): 1}
        assert numbers(inner.counts.received) == {}


async def test_tool_calls_are_counted_by_what_came_of_them(state_dir: Path) -> None:
    tool = ScriptedTool("fine", RuntimeError("no"))
    made_up = [call(name=f"made_up_{n}", id=f"x{n}") for n in range(3)]
    model = ScriptedModel([call(id="a"), *made_up], "ok", [call(id="b")], "sorry")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        await inner.ask("do it")
        assert numbers(inner.counts.tools) == {("act", "ok"): 1, ("other", "error"): 3}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "sent"),
        (DeliveryRetryLater("chat", "busy", retry_after_s=60), "retry"),
        (DeliveryUnknown("chat", "no answer in time"), "retry"),
        (DeliveryParked("chat", "the user has to write first"), "parked"),
        (DeliveryRejected("chat", "bad request"), "dead"),
    ],
)
async def test_every_attempt_to_deliver_is_counted(
    state_dir: Path, error: Exception | None, outcome: str
) -> None:
    async with Inner(state_dir, model=ScriptedModel("hello"), clock=ManualClock()) as inner:
        if error is not None:
            inner.bridge.next_sends(error)
        await inner.ask()
        await inner.counted(lambda counts: bool(numbers(counts.deliveries)))
        assert numbers(inner.counts.deliveries) == {("chat", outcome): 1}
        if outcome == "dead":
            await inner.counted(lambda counts: bool(numbers(counts.given_up)))
            assert numbers(inner.counts.given_up) == {("delivery",): 1}


async def test_a_delivery_that_nobody_may_repeat_is_unknown(state_dir: Path) -> None:
    sections = {"chat": BridgeConfig(type="recording", on_ambiguous="hold")}
    async with Inner(state_dir, model=ScriptedModel("hello"), sections=sections) as inner:
        inner.bridge.next_sends(DeliveryUnknown("chat", "no answer in time"))
        await inner.ask()
        await inner.counted(lambda counts: bool(numbers(counts.deliveries)))
        assert numbers(inner.counts.deliveries) == {("chat", "unknown"): 1}


async def test_a_database_that_others_hold_is_a_journal_error_and_commits_are_timed(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock, model=ScriptedModel("late")) as inner:
        async with inner.locked():
            with pytest.raises(JournalUnavailable):
                await inner.accept()
        commits = sum(inner.counts.commit_s.counts)
        await inner.accept()
        assert sum(inner.counts.commit_s.counts) > commits
        assert set(numbers(inner.counts.journal_errors)) == {("locked",)}
        assert 0 < inner.counts.commit_s.total < 30
