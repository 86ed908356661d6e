"""The network is away: turns wait for it, cost no attempt, and go on in order when it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clawd.agent.offline import FIRST_S, LONGEST_S
from clawd.config.schema import AgentConfig
from clawd.errors import ModelError, ModelsExhausted, ModelUnavailable
from clawd.fanout import HandedBack
from clawd.ids import TurnId
from clawd.messages import Address, InboundControl, MessageId, Sender
from clawd.testing import ManualClock, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import PATIENCE_S, Inner

PATIENT = AgentConfig(offline_wait_s=3600)


def nobody() -> ModelError:
    """What a route raises whose only model can't be reached."""
    return ModelsExhausted("default", [ModelUnavailable("main", "no connection", offline=True)])


async def waits(inner: Inner, *turns: TurnId) -> None:
    """Return once these turns wait for the network."""
    async with asyncio.timeout(PATIENCE_S):
        for turn in turns:
            while (await inner.views.turn(turn)).waits_for != "network":
                await asyncio.sleep(0.005)


async def tried(inner: Inner, model: ScriptedModel, count: int, turn: TurnId) -> None:
    """Return once so many requests were made in vain, and the turn waits again."""
    async with asyncio.timeout(PATIENCE_S):
        await model.asked(count)
        while (await inner.views.turn(turn)).state != "queued":
            await asyncio.sleep(0.005)


async def test_turns_wait_for_the_network_and_are_answered_in_order_once_it_is_back(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel(nobody(), nobody(), "one", "two", "three", "four")
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        first = await inner.say("a", chat="1")
        await waits(inner, first)
        second = await inner.say("b", chat="2")
        third = await inner.say("c", chat="2")
        await waits(inner, second)
        stats = await inner.views.stats()
        assert (stats.offline, stats.queued, stats.running) == (2, 3, 0)
        assert (await inner.views.turn(first)).attempts == 0, "to wait is no attempt"
        assert len(model.requests) == 1, "who knows that the network is away does not ask"
        await clock.sleeping(1)
        await clock.advance(FIRST_S + 0.1)
        await tried(inner, model, 2, first)
        await clock.sleeping(1)
        await clock.advance(2 * FIRST_S + 0.1)
        views = [await inner.ended(turn) for turn in (first, second, third)]
        assert [view.answer for view in views] == ["one", "two", "three"]
        assert [view.attempts for view in views] == [0, 0, 0]
        await inner.settled()
        assert inner.bridge.texts("1") == [say("offline", None), "one"]
        assert inner.bridge.texts("2") == [say("offline", None), "two", "three"]


async def test_who_waits_longest_goes_on_first(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel("known", nobody(), "one", "two", "three")
    agent = AgentConfig(offline_wait_s=3600, concurrency=1)
    async with Inner(state_dir, model=model, clock=clock, agent=agent) as inner:
        await inner.ask("earlier", chat="3")  # its conversation is the oldest
        turns = []
        for chat in ("1", "2", "3"):
            turns.append(await inner.say("hi", chat=chat))
            await waits(inner, turns[-1])
            await clock.sleeping(1)
            await clock.advance(1)
        inner.outage.hint()
        assert [(await inner.ended(turn)).answer for turn in turns] == ["one", "two", "three"]


async def test_a_hint_is_taken_at_once(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel(nobody(), "back")
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        turn = await inner.say()
        await waits(inner, turn)
        inner.outage.hint()
        assert (await inner.ended(turn)).answer == "back"
        assert not inner.outage.away


async def test_waiting_has_an_end(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel(*[nobody() for _ in range(100)])
    agent = AgentConfig(offline_wait_s=60)
    async with Inner(state_dir, model=model, clock=clock, agent=agent) as inner:
        turn = await inner.say()
        await waits(inner, turn)
        async with asyncio.timeout(PATIENCE_S):
            while (view := await inner.views.turn(turn)).finished_at is None:
                await clock.sleeping(1)
                await clock.advance(1)
                await asyncio.sleep(0.001)
        assert (view.state, view.answer) == ("failed", say("failed_models", None))
        assert len(model.requests) <= 7, "tries come ever later"


async def test_at_the_end_of_its_waiting_a_turn_asks_once_more_whenever_others_would(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel(nobody(), nobody())
    agent = AgentConfig(offline_wait_s=FIRST_S / 2)
    async with Inner(state_dir, model=model, clock=clock, agent=agent) as inner:
        turn = await inner.say()
        await waits(inner, turn)
        await clock.sleeping(1)
        await clock.advance(FIRST_S / 2 + 0.1)
        inner.journal.work.set()  # by the wall clock it would be due by itself
        assert (await inner.ended(turn)).state == "failed"
        lines = (await inner.views.trace(turn)).lines
        assert sum(line.what == "turn.started" for line in lines) == len(model.requests) == 2


async def test_without_leave_to_wait_a_turn_fails_at_once(state_dir: Path) -> None:
    async with Inner(state_dir, model=ScriptedModel(nobody())) as inner:
        view = await inner.ask()
        assert (view.state, view.answer) == ("failed", say("failed_models", None))


async def test_a_server_that_answers_with_an_error_is_no_network_that_is_away(state_dir: Path) -> None:
    down = ModelUnavailable("other", "the model's server failed")
    away = ModelUnavailable("main", "no connection", offline=True)
    model = ScriptedModel(ModelsExhausted("default", [away, down]))
    async with Inner(state_dir, model=model, agent=PATIENT) as inner:
        assert (await inner.ask()).state == "failed"


async def test_a_waiting_turn_can_be_stopped_and_commands_behind_none_are_done(state_dir: Path) -> None:
    clock = ManualClock()
    model = ScriptedModel(*[nobody() for _ in range(100)])
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        turn = await inner.say("a", chat="1")
        await waits(inner, turn)
        assert (await inner.ask("/new", chat="2")).state == "answered", "it needs no model"
        stop = InboundControl(
            id=MessageId("stop"),
            address=Address(bridge="chat", account="bot", chat="1"),
            sender=Sender(id="42"),
            kind="stop",
            turn=turn,
            sent_at=clock.now(),
        )
        await inner.inbox.accept([stop])
        assert (await inner.ended(turn)).state == "cancelled"


async def test_a_restart_tries_at_once_and_still_knows_how_long_it_waits(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel(nobody(), nobody(), "back")
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        turn = await inner.say()
        await waits(inner, turn)
        await inner.settled_deliveries()  # the words that tell it; their receipt is not what is cut off here
        await clock.sleeping(1)
        await clock.advance(LONGEST_S / 100)
        await inner.restart()
        await tried(inner, model, 2, turn)
        inner.outage.hint()
        assert (await inner.ended(turn)).answer == "back"
        await inner.settled()
        assert inner.bridge.texts() == [say("offline", None), "back"], "people are told once"
        lines = (await inner.views.trace(turn)).lines
        waited = [dict(line.detail) for line in lines if line.what == "turn.offline"]
        assert len(waited) == 2
        assert len({(line["since"], line["until"]) for line in waited}) == 1


async def test_who_watches_is_told_why_the_turn_was_handed_back(state_dir: Path) -> None:
    async with Inner(state_dir, model=ScriptedModel(nobody()), agent=PATIENT) as inner:
        async with asyncio.TaskGroup() as tasks:
            seen = tasks.create_task(inner.seen(HandedBack))
            await asyncio.sleep(0)
            await inner.say()
        event = seen.result()
        assert isinstance(event, HandedBack)
        assert event.why == "offline"


async def test_the_trace_of_a_turn_shows_that_it_waited_for_the_network(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel(nobody(), "back")
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        turn = await inner.say()
        await waits(inner, turn)
        open_spans = [span.name for span in (await inner.views.trace(turn)).spans if span.open]
        assert "network" in open_spans
        await clock.sleeping(1)
        await clock.advance(FIRST_S + 0.1)
        await inner.ended(turn)
        (span,) = [span for span in (await inner.views.trace(turn)).spans if span.name == "network"]
        assert (span.kind, span.open) == ("queue", False)
        assert (span.end - span.start).total_seconds() >= FIRST_S
