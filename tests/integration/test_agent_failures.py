"""What goes wrong outside, and in the journal: every end is visible, and nothing takes the others down."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from clawd.config.schema import AccessConfig, AgentConfig
from clawd.errors import (
    EXIT_AUTH,
    EXIT_TRY_LATER,
    EXIT_UNREACHABLE,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelsExhausted,
    ModelUnavailable,
)
from clawd.fanout import Ended, Reset
from clawd.messages import Accepted, Address
from clawd.models.base import ModelEvent, ModelRequest
from clawd.testing import ManualClock, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, message
from tests.fakes.routing import router_over
from tests.fakes.tools import ScriptedTool, call

AUTH = ModelAuthError("main", "the provider refuses the key", why="401")
DOWN = ModelUnavailable("main", "connection refused")


@pytest.mark.parametrize(
    ("error", "sentence", "exit_code"),
    [
        (AUTH, "failed_auth", EXIT_AUTH),
        (DOWN, "failed_models", EXIT_UNREACHABLE),
        (ModelRateLimited("main"), "failed_models", EXIT_TRY_LATER),
        (ModelsExhausted("default", [AUTH, AUTH]), "failed_auth", EXIT_AUTH),
        (ModelsExhausted("default", [AUTH, DOWN]), "failed_models", EXIT_UNREACHABLE),
    ],
)
async def test_a_turn_without_a_model_fails_with_a_sentence_and_an_exit_code(
    state_dir: Path, error: ModelError, sentence: str, exit_code: int
) -> None:
    async with Inner(state_dir, model=ScriptedModel(error, "fine")) as inner:
        view = await inner.ask(language="zh")
        assert (view.state, view.exit_code) == ("failed", exit_code)
        assert view.answer == say(sentence, "zh")
        assert view.error is not None
        assert view.error.startswith(error.code)
        assert (await inner.ask()).answer == "fine"
        await inner.delivered(say(sentence, "zh"), "fine")
        assert [m.kind for m in inner.bridge.sends] == ["failed", "reply"]


async def test_a_pause_that_is_too_long_to_wait_for_says_when_to_try_again(state_dir: Path) -> None:
    busy = [ModelRateLimited("a", retry_after_s=400), ModelRateLimited("b", retry_after_s=90.2)]
    async with Inner(state_dir, model=ScriptedModel(ModelsExhausted("default", busy))) as inner:
        view = await inner.ask()
        assert (view.answer, view.exit_code) == (say("failed_busy", seconds=91), EXIT_TRY_LATER)


async def test_a_model_that_comes_back_is_asked_again_and_answers(state_dir: Path) -> None:
    clock = ManualClock()
    model = ScriptedModel(["half a", DOWN], "whole", name="main")
    router = router_over(model, clock=clock)
    async with Inner(state_dir, model=router, clock=clock) as inner, asyncio.TaskGroup() as tasks:
        void = tasks.create_task(inner.seen(Reset))
        await asyncio.sleep(0)
        turn = await inner.say()
        await model.asked()
        await clock.sleeping()
        await clock.advance(0.5)
        view = await inner.ended(turn)
        await void
        assert view.answer == "whole"
        assert len(model.requests) == 2


async def test_a_standby_answers_what_the_first_model_can_not(state_dir: Path) -> None:
    first, second = ScriptedModel(AUTH, name="main"), ScriptedModel("I can", name="standby")
    router = router_over(first, second, clock=ManualClock())
    async with Inner(state_dir, model=router) as inner:
        view = await inner.ask()
        assert (view.answer, view.model) == ("I can", "standby")


async def test_a_turn_that_takes_too_long_is_ended_and_its_model_let_go(state_dir: Path) -> None:
    model = ScriptedModel(["a start", asyncio.Event()], "quick")
    async with Inner(state_dir, model=model, agent=AgentConfig(max_turn_s=0.2)) as inner:
        view = await inner.ask()
        assert (view.state, view.answer) == ("failed", f"a start\n\n{say('failed_time')}")
        assert view.error == "E-TIMEOUT: agent.max_turn_s is 0.2"
        assert (await inner.ask()).answer == "quick"


class BrokenModel(ScriptedModel):
    """Raises what no provider may, then answers."""

    def __init__(self, bug: Exception) -> None:
        super().__init__()
        self._bugs = [bug]

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if self._bugs:
            raise self._bugs.pop()
        async for event in super().stream(request):
            yield event


@pytest.mark.parametrize("bug", [RuntimeError("a bug"), TimeoutError("its own")])
async def test_a_bug_in_a_provider_ends_that_turn_alone(state_dir: Path, bug: Exception) -> None:
    async with Inner(state_dir, model=BrokenModel(bug)) as inner:
        view = await inner.ask("a")
        assert (view.state, view.answer) == ("failed", say("failed_internal"))
        assert view.error is not None
        assert type(bug).__name__ in view.error
        assert (await inner.ask("b")).state == "answered"


async def test_a_bug_in_cutting_the_reply_ends_that_turn_with_a_sentence(state_dir: Path) -> None:
    def broken(address: Address, text: str) -> list[str]:
        raise ValueError("a bug")

    async with Inner(state_dir, model=ScriptedModel("a", "b")) as inner:
        whole, inner.recorder._split = inner.recorder._split, broken
        assert (await inner.ask()).answer == say("failed_internal")
        inner.recorder._split = whole
        assert (await inner.ask()).answer == "b"
        await inner.delivered(say("failed_internal"), "b")


# --- the journal ------------------------------------------------------------------------------------------


async def test_a_turn_waits_while_nothing_can_be_committed_and_pays_its_model_once(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "worth keeping"])
    clock = ManualClock()
    async with Inner(state_dir, model=model, clock=clock) as inner:
        turn = await inner.say()
        await model.asked()
        async with inner.locked():
            held.set()
            await clock.sleeping()  # the turn has found the journal locked
            assert inner.opened.store.pause
        await clock.advance(10)
        assert (await inner.ended(turn)).answer == "worth keeping"
        await inner.delivered("worth keeping")
    assert len(model.requests) == 1


async def test_a_tool_is_not_called_before_its_intent_could_be_committed(state_dir: Path) -> None:
    clock, tool = ManualClock(), ScriptedTool()
    held = asyncio.Event()
    model = ScriptedModel("first", [held, call()], "done")
    access = AccessConfig(default="allow", grant="tools")
    async with Inner(state_dir, model=model, clock=clock, tools=[tool], access=access) as inner:
        await inner.ask()
        turn = await inner.say()
        await model.asked(2)
        async with inner.locked():
            held.set()
            await clock.sleeping()  # at the model's answer
            await clock.advance(0.6)
            await clock.sleeping()
            assert not tool.calls
        await clock.advance(10)
        assert (await inner.ended(turn)).answer == "done"
        assert len(tool.calls) == 1


async def test_a_turn_that_can_not_be_read_just_now_is_tried_again_uncounted(state_dir: Path) -> None:
    """A reader that times out says nothing about the message."""
    clock = ManualClock()
    async with Inner(state_dir, clock=clock, agent=AgentConfig(max_attempts=1)) as inner:
        reader, held = inner.opened.store._reader, threading.Event()
        reader._limit_s = 0.0
        await reader._db.set_trace_callback(lambda _: held.wait(30))  # or a quick one would be in time
        turn = await inner.say(bridge="api")
        for _ in range(3):  # more often than max_attempts
            await clock.sleeping()
            await clock.advance(1.1)
        await clock.sleeping()
        held.set()
        reader._limit_s = 3600  # also on a busy machine the next try finds what it reads
        await clock.advance(1.1)
        view = await inner.ended(turn)
        assert view.state == "answered"


async def test_a_conversation_whose_rows_are_damaged_is_left_alone_and_others_go_on(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, call()], "fine")
    async with Inner(state_dir, model=model) as inner:
        turn = await inner.say("a", chat="1")
        await model.asked()
        await inner.crash()
        db = sqlite3.connect(inner.opened.store.path)
        db.execute("UPDATE journal SET body = '{' WHERE kind = 'turn.started'")
        db.commit()
        db.close()
        await inner.start()
        assert (await inner.ask("b", chat="2")).answer == "fine"
        assert [dead.id for dead in await inner.views.dead()] == [turn]


async def test_a_damaged_conversation_in_front_of_the_line_holds_up_nobody(state_dir: Path) -> None:
    async with Inner(state_dir, agent=AgentConfig(concurrency=1)) as inner:
        await inner.ask("a", chat="1")
        await inner.settled()
        await inner.opened.store.write(lambda db: db.execute("UPDATE conv SET settings = '{'"))
        damaged, behind = await inner.inbox.accept([message("b", chat="1"), message("c", chat="2")])
        assert isinstance(damaged, Accepted)
        assert isinstance(behind, Accepted)
        assert (await inner.ended(behind.turn)).answer == "ok"
        assert [dead.id for dead in await inner.views.dead()] == [damaged.turn]


async def test_an_end_is_told_to_who_watches_after_it_is_committed(state_dir: Path) -> None:
    async with Inner(state_dir) as inner, asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(inner.seen(Ended))
        await asyncio.sleep(0)
        turn = await inner.say(bridge="api")
        await ended
        assert (await inner.views.turn(turn)).state == "answered"


async def test_nothing_is_sent_to_clients_that_fetch_their_answers(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        assert (await inner.ask(bridge="api")).answer == "ok"
        assert (await inner.views.stats()).deliveries_open == 0
        assert not inner.bridge.sends
