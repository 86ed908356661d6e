"""Turns that wait for the network, where something else happens at the same moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.agent.offline import FIRST_S
from clawd.config.schema import AccessConfig, ToolsConfig
from clawd.errors import BudgetSpent, ModelsExhausted, ModelUnavailable
from clawd.messages import Address, InboundControl, MessageId, Sender
from clawd.testing import ManualClock, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import PATIENCE_S, Inner, Routed
from tests.fakes.tools import AskingTool, call
from tests.integration.test_agent_offline import PATIENT, nobody, tried, waits


async def asleep(clock: ManualClock, count: int = 1) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await clock.sleeping(count)


async def test_a_turn_whose_wait_was_written_after_the_network_was_back_goes_on(state_dir: Path) -> None:
    clock, fails, answers = ManualClock(), asyncio.Event(), asyncio.Event()
    model = ScriptedModel([fails, nobody()], [answers, "there"], "back")
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        turn = await inner.say("a", chat="1")
        await model.asked(1)
        other = await inner.say("b", chat="2")
        await model.asked(2)
        async with inner.locked():
            fails.set()
            await asleep(clock, 2)  # who would try again, and the turn: nothing can be written now
        answers.set()
        assert (await inner.ended(other)).answer == "there"
        async with asyncio.timeout(PATIENCE_S):
            while inner.outage.away or clock.sleepers > 1:
                await asyncio.sleep(0.005)
        await clock.advance(FIRST_S - 1)
        assert (await inner.ended(turn)).answer == "back"


async def test_while_nobody_waits_no_timer_runs_for_the_network(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel(nobody(), nobody(), "back")
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        turn = await inner.say()
        await waits(inner, turn)
        await asleep(clock)
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
        await inner.settled()
        for _ in range(3):
            await clock.advance(FIRST_S)
            await inner.journal.wake_offline(None)  # what was queued before it is written
            await clock.advance(0)
        assert (inner.outage.away, clock.sleepers) == (True, 0)
        later = await inner.say()  # it tries, as a try is due; and waits in its turn
        await waits(inner, later)
        await asleep(clock)
        await clock.advance(2 * FIRST_S + 0.1)
        assert (await inner.ended(later)).answer == "back"


async def test_models_that_are_out_of_reach_hold_up_nobody_who_asks_others(state_dir: Path) -> None:
    clock, gone = ManualClock(), ScriptedModel(*[nobody() for _ in range(9)], name="other")
    model = Routed(ScriptedModel("one", "two"), gone)
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        await inner.ask("/model other", chat="1")
        turn = await inner.say("a", chat="1")
        await waits(inner, turn)
        assert (await inner.ask("b", chat="2")).answer == "one"
        assert (await inner.ask("c", chat="3")).answer == "two"
        assert inner.outage.since is not None
        assert (await inner.views.turn(turn)).waits_for == "network"
        assert len(gone.requests) == 1, "what others reach is no reason to try here"


async def test_a_question_that_nobody_answered_in_time_is_no_wait_for_the_network(state_dir: Path) -> None:
    clock, tool = ManualClock(), AskingTool()
    model = ScriptedModel([call()], nobody(), "As you like.")
    async with Inner(
        state_dir,
        model=model,
        tools=[tool],
        clock=clock,
        agent=PATIENT,
        access=AccessConfig(default="allow", grant="tools", rate="100000/s"),
        asking=ToolsConfig(approval_timeout_s=600),
    ) as inner:
        turn = await inner.say()
        await inner.bridge.until(lambda: any(m.kind == "question" for m in inner.bridge.sends))
        await inner.settled_deliveries()
        await clock.advance(601)
        inner.journal.work.set()  # by the wall clock it would be due by itself
        await waits(inner, turn)
        await asleep(clock)
        await clock.advance(FIRST_S + 0.1)
        assert (await inner.ended(turn)).answer == "As you like."


async def test_a_summary_that_was_asked_for_waits_and_is_tried_again(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel("one", nobody(), nobody(), "THE SUMMARY")
    async with Inner(state_dir, model=model, clock=clock, agent=PATIENT) as inner:
        await inner.ask("hello")
        turn = await inner.say("/compact")
        for count, seconds in ((2, FIRST_S), (3, 2 * FIRST_S)):
            await tried(inner, model, count, turn)
            await asleep(clock)
            await clock.advance(seconds + 0.1)
        assert (await inner.ended(turn)).answer == say("compacted", None, messages=1)
        assert len(model.requests) == 4


@pytest.mark.parametrize("alone", [True, False])
async def test_a_model_whose_budget_is_spent_is_none_that_may_answer(state_dir: Path, *, alone: bool) -> None:
    spent = BudgetSpent("dear", budget="model", limit_usd=1, ends_at=None)
    away = ModelUnavailable("main", "no connection", offline=True)
    error = ModelsExhausted("default", [spent] if alone else [away, spent])
    async with Inner(state_dir, model=ScriptedModel(error, "back"), agent=PATIENT) as inner:
        if alone:
            assert (await inner.ask()).state == "failed"
            return
        turn = await inner.say()
        await waits(inner, turn)
        inner.outage.hint()
        assert (await inner.ended(turn)).answer == "back"
