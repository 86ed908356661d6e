"""A turn that comes to its limits ends in an answer all the same; where that fails too, in a plain sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from clawd.config.schema import AccessConfig, AgentConfig
from clawd.errors import ModelUnavailable
from clawd.models.base import Completed, ModelEvent, ModelRequest, ToolMessage, UserMessage
from clawd.response import ModelAttempt
from clawd.testing import ScriptedModel, Step
from clawd.texts import say
from tests.fakes.inner import Inner, Routed
from tests.fakes.loop_clock import jump
from tests.fakes.tools import AskingTool, ScriptedTool, call

TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")
DOWN = ModelUnavailable("m", "down", transient=False)


def again(*texts: str) -> list[list[Step]]:
    """Return answers that each say a text and ask for a different call."""
    return [[text, call(arguments=json.dumps({"n": n}))] for n, text in enumerate(texts)]


def told(request: ModelRequest) -> str:
    """Return the last thing that a request says."""
    last = request.messages[-1]
    return "".join(getattr(part, "text", "") for part in getattr(last, "parts", ())) or getattr(
        last, "text", ""
    )


class Priced(ScriptedModel):
    """A scripted model whose every answer costs the same."""

    usd = 0.4

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            if isinstance(event, Completed):
                attempt = ModelAttempt(model=self.name, outcome="ok", cost_usd=self.usd)
                event = Completed(replace(event.response, attempts=(attempt,)))
            yield event


async def test_a_model_that_wants_ever_more_steps_is_asked_for_what_it_has(state_dir: Path) -> None:
    model = ScriptedModel(*again("one", "two"), "That is all I found.")
    tool = ScriptedTool(effect="pure")
    async with Inner(
        state_dir, model=model, tools=[tool], access=TOOLS, agent=AgentConfig(max_steps=3)
    ) as inner:
        view = await inner.ask()
    assert (view.state, view.answer) == ("answered", "one\n\ntwo\n\nThat is all I found.")
    assert len(tool.calls) == 1
    last = model.requests[-1]
    assert last.tools == ()
    assert told(last) == say("last_steps")
    assert not any(isinstance(m, ToolMessage) for m in last.messages), "nor are its calls shown as calls"
    said = [told(replace(last, messages=(m,))) for m in last.messages if isinstance(m, UserMessage)]
    assert f"[result of act: {say('tool_skipped')}]" in said


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_where_the_last_answer_fails_too_a_sentence_keeps_what_was_visible(
    state_dir: Path, language: str
) -> None:
    model = ScriptedModel(*again("Let me see."), DOWN)
    async with Inner(
        state_dir, model=model, tools=[ScriptedTool()], access=TOOLS, agent=AgentConfig(max_steps=2)
    ) as inner:
        view = await inner.ask(language=language)
        sentence = say("failed_steps", language, steps=2)
        assert (view.state, view.answer) == ("failed", f"Let me see.\n\n{sentence}")
        assert view.error is not None
        assert view.error.startswith("E-STEPS: agent.max_steps is 2; asked for a last answer: E-MODEL-DOWN")
        await inner.delivered(f"Let me see.\n\n{sentence}")


async def test_a_last_answer_ends_the_turn_even_if_it_asks_for_more_calls(state_dir: Path) -> None:
    model = ScriptedModel(*again("", "", "")[:1], [call()], "not asked for")
    async with Inner(
        state_dir, model=model, tools=[ScriptedTool()], access=TOOLS, agent=AgentConfig(max_steps=2)
    ) as inner:
        view = await inner.ask()
    assert (view.state, view.answer) == ("failed", say("failed_limits"))
    assert len(model.requests) == 2


async def test_a_call_repeated_with_the_same_result_is_refused_then_the_model_is_asked_to_answer(
    state_dir: Path,
) -> None:
    model = ScriptedModel(*[[call()]] * 5, "It stays the same.")
    tool = ScriptedTool()
    async with Inner(state_dir, model=model, tools=[tool], access=TOOLS) as inner:
        assert (await inner.ask()).answer == "It stays the same."
    assert len(tool.calls) == 3
    assert told(model.requests[4]) == say("tool_repeated", times=3)
    assert model.requests[4].tools, "it may still do something else"
    assert (told(model.requests[5]), model.requests[5].tools) == (say("last_repeats"), ())


async def test_repeats_are_counted_over_a_crash(state_dir: Path) -> None:
    model = ScriptedModel([call()], [call()], [asyncio.Event()], [call()], [call()], "no more")
    tool = ScriptedTool()
    async with Inner(state_dir, model=model, tools=[tool], access=TOOLS) as inner:
        turn = await inner.say()
        await model.asked(3)
        await inner.restart()
        assert (await inner.ended(turn)).answer == "no more"
    assert len(tool.calls) == 3
    assert told(model.requests[-1]) == say("tool_repeated", times=3)


async def test_money_near_its_end_lets_the_calls_run_and_asks_for_an_answer(state_dir: Path) -> None:
    model = Priced(*again("one"), "enough")
    tool = ScriptedTool()
    async with Inner(
        state_dir, model=model, tools=[tool], access=TOOLS, agent=AgentConfig(max_turn_usd=1.1)
    ) as inner:
        view = await inner.ask()
    assert (view.state, view.answer) == ("answered", "one\n\nenough")
    assert len(tool.calls) == 1
    assert (told(model.requests[1]), model.requests[1].tools) == (say("last_money"), ())


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_a_request_that_is_dearer_than_a_turn_may_be_is_not_made(
    state_dir: Path, language: str
) -> None:
    model = ScriptedModel()
    router = Routed(model, usd=2.0, input_usd=1.5)
    async with Inner(state_dir, model=router, access=TOOLS, agent=AgentConfig(max_turn_usd=1.0)) as inner:
        view = await inner.ask(language=language)
    assert (view.state, view.answer) == ("failed", say("failed_dear", language))
    assert view.error is not None
    assert view.error.startswith("E-TURN-BUDGET: ")
    assert "$1.50" in view.error
    assert model.requests == []


async def test_a_request_that_may_become_dearer_than_a_turn_is_made(state_dir: Path) -> None:
    router = Routed(ScriptedModel("fine"), usd=2.0, input_usd=0.5)
    async with Inner(state_dir, model=router, access=TOOLS, agent=AgentConfig(max_turn_usd=1.0)) as inner:
        assert (await inner.ask()).answer == "fine"


async def test_money_wholly_spent_ends_the_turn_without_another_request(state_dir: Path) -> None:
    model = Priced(*again("one"))
    async with Inner(
        state_dir, model=model, tools=[ScriptedTool()], access=TOOLS, agent=AgentConfig(max_turn_usd=0.3)
    ) as inner:
        view = await inner.ask()
    assert (view.state, view.answer) == ("failed", f"one\n\n{say('failed_money')}")
    assert view.error == "E-TURN-BUDGET: agent.max_turn_usd is 0.3"
    assert len(model.requests) == 1


async def test_a_tool_that_takes_too_long_is_cut_off_while_there_is_time_for_an_answer(
    state_dir: Path,
) -> None:
    model = ScriptedModel(["one", call()], "without it")
    tool = ScriptedTool(asyncio.Event())
    async with Inner(
        state_dir, model=model, tools=[tool], access=TOOLS, agent=AgentConfig(max_turn_s=600)
    ) as inner:
        turn = await inner.say()
        await tool.called()
        jump(570)  # the last 60 s are kept for an answer
        view = await inner.ended(turn)
    assert (view.state, view.answer) == ("answered", "one\n\nwithout it")
    assert tool.cancelled == 1
    last = model.requests[1]
    assert told(last) == say("last_time")
    assert f"[result of act: {say('tool_out_of_time')}]" in told(replace(last, messages=last.messages[:-1]))


async def test_what_was_worked_before_a_crash_counts(state_dir: Path) -> None:
    class Slow(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            async for event in super().stream(request):
                if isinstance(event, Completed):
                    attempt = ModelAttempt(model=self.name, outcome="ok", duration_s=95.0)
                    event = Completed(replace(event.response, attempts=(attempt,)))
                yield event

    held = asyncio.Event()
    model = Slow(*again("one"), [held], "in time", "late")
    async with Inner(
        state_dir, model=model, tools=[ScriptedTool()], access=TOOLS, agent=AgentConfig(max_turn_s=100)
    ) as inner:
        turn = await inner.say()
        await model.asked(2)
        assert model.requests[1].tools, "the clock of this attempt has only begun"
        await inner.restart()
        assert (await inner.ended(turn)).answer == "one\n\nin time"
        assert told(model.requests[2]) == say("last_time"), "95 of 100 seconds are over"


@pytest.mark.parametrize(("steps", "is_last"), [(3, True), (5, False)])
async def test_the_limits_in_force_hold_for_a_turn_that_goes_on_after_a_reload(
    state_dir: Path, steps: int, is_last: bool
) -> None:
    held = asyncio.Event()
    model = ScriptedModel(*again("one"), [held], *again("two"), "done")
    async with Inner(
        state_dir, model=model, tools=[ScriptedTool()], access=TOOLS, agent=AgentConfig(max_steps=10)
    ) as inner:
        turn = await inner.say()
        await model.asked(2)
        inner.agent = AgentConfig(max_steps=steps)
        await inner.restart()
        assert (await inner.ended(turn)).answer == "one\n\ntwo\n\ndone"
    assert (told(model.requests[-1]) == say("last_steps")) is is_last


async def test_waiting_for_a_person_does_not_count_as_time(state_dir: Path) -> None:
    tool = AskingTool()
    model = ScriptedModel(["May I?", call(arguments='{"line": "x"}')], "done")
    async with Inner(
        state_dir, model=model, tools=[tool], access=TOOLS, agent=AgentConfig(max_turn_s=600)
    ) as inner:
        turn = await inner.say()
        async with asyncio.timeout(30):
            while (await inner.views.turn(turn)).state != "waiting":
                await asyncio.sleep(0.01)
        jump(601)  # longer than the turn may take
        await inner.accept("/approve")
        assert (await inner.ended(turn)).answer == "May I?\n\ndone"
    assert len(tool.calls) == 1
