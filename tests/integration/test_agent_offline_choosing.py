"""Another model is chosen while a turn waits for the network: it helps that turn, and keeps its place behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clawd.agent.offline import FIRST_S
from clawd.config.schema import RouteConfig
from clawd.testing import ManualClock, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, Routed, message
from tests.fakes.tools import ScriptedTool, call
from tests.integration.test_agent_offline import PATIENT, nobody, waits

ROUTES = {"default": RouteConfig(models=("main",))}


def offered(name: str = "near") -> str:
    """What a chat is told where another model may be chosen."""
    return f"{say('offline', None)}\n{say('offline_others', None, models=name)}"


def inner_of(state_dir: Path, away: ScriptedModel, near: ScriptedModel, clock: ManualClock) -> Inner:
    """An inside whose default route is `main`; `near` has to be asked for."""
    return Inner(
        state_dir,
        model=Routed(away, near, default=("main",)),
        models=("main", "near"),
        routes=ROUTES,
        clock=clock,
        agent=PATIENT,
    )


async def test_a_choice_behind_a_turn_that_waits_for_the_network_answers_it_and_keeps_its_place(
    state_dir: Path,
) -> None:
    clock, near = ManualClock(), ScriptedModel("one", "two", "three", name="near")
    away = ScriptedModel(*[nobody() for _ in range(9)], name="main")
    async with inner_of(state_dir, away, near, clock) as inner:
        turns = [await inner.say("a")]
        await waits(inner, turns[0])
        await inner.settled_deliveries()
        turns += [await inner.say("b"), await inner.say("/model near"), await inner.say("c")]
        views = [await inner.ended(turn) for turn in turns]
        set_to = say("model_set", None, model="near")
        assert [view.answer for view in views] == ["one", "two", set_to, "three"]
        await inner.settled()
        assert inner.bridge.texts() == [offered(), "one", "two", set_to, "three"]
        assert len(away.requests) == 1, "who knows that it is away does not ask it again"


async def test_a_choice_that_was_there_before_the_turn_began_to_wait_counts_too(state_dir: Path) -> None:
    clock, near = ManualClock(), ScriptedModel("one", name="near")
    fails = asyncio.Event()
    away = ScriptedModel([fails, nobody()], name="main")
    async with inner_of(state_dir, away, near, clock) as inner:
        turn = await inner.say("a")
        await away.asked(1)
        await inner.say("/model near")
        fails.set()
        assert (await inner.ended(turn)).answer == "one"


async def test_a_choice_in_the_same_batch_counts_too(state_dir: Path) -> None:
    clock, near = ManualClock(), ScriptedModel("one", name="near")
    async with inner_of(state_dir, ScriptedModel(nobody(), name="main"), near, clock) as inner:
        await inner.inbox.accept([message("a"), message("/model near")])
        await inner.settled()
        assert inner.bridge.texts()[1:] == ["one", say("model_set", None, model="near")]


async def test_a_model_that_is_not_there_helps_nobody_and_wakes_nobody_for_ever(state_dir: Path) -> None:
    clock, near = ManualClock(), ScriptedModel(name="near")
    away = ScriptedModel(nobody(), "back", "back", name="main")
    async with inner_of(state_dir, away, near, clock) as inner:
        turn = await inner.say("a")
        await waits(inner, turn)
        other = await inner.say("/model nowhere")
        await waits(inner, turn)
        await clock.sleeping(1)
        claims = [line for line in (await inner.views.trace(turn)).lines if line.what == "turn.started"]
        assert len(claims) <= 2
        assert len(away.requests) == 1
        await clock.advance(FIRST_S + 0.1)
        assert (await inner.ended(turn)).answer == "back"
        available = say("models_and_routes", None, models="main, near", routes="default")
        told = say("model_unknown", None, name="nowhere", available=available)
        assert (await inner.ended(other)).answer == told


async def test_what_was_chosen_holds_for_all_further_steps_of_the_turn_and_over_a_crash(
    state_dir: Path,
) -> None:
    clock, holds, tool = ManualClock(), asyncio.Event(), ScriptedTool("act")
    near = ScriptedModel([call()], [holds, "never"], "done", name="near")
    away = ScriptedModel(*[nobody() for _ in range(9)], name="main")
    async with Inner(
        state_dir,
        model=Routed(away, near, default=("main",)),
        models=("main", "near"),
        routes=ROUTES,
        tools=[tool],
        clock=clock,
        agent=PATIENT,
    ) as inner:
        turn = await inner.say("a")
        await waits(inner, turn)
        await inner.settled_deliveries()
        await inner.say("/model near")
        await near.asked(2)
        await inner.restart()
        assert (await inner.ended(turn)).answer == "done"
        await inner.settled()
        assert len(away.requests) == 1


async def test_back_to_the_default_is_a_choice_as_well(state_dir: Path) -> None:
    clock, near = ManualClock(), ScriptedModel(nobody(), name="near")
    async with inner_of(state_dir, ScriptedModel("one", name="main"), near, clock) as inner:
        await inner.ask("/model near strict")
        turn = await inner.say("a")
        await waits(inner, turn)
        await inner.say("/model default")
        assert (await inner.ended(turn)).answer == "one"
        await inner.settled()
        assert offered("main") in inner.bridge.texts()
