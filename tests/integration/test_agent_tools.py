"""The tool loop: intents before, results after, and what a crash means for each effect."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.config.schema import AccessConfig
from clawd.errors import ToolFailed, ToolRetry
from clawd.fanout import ToolNote
from clawd.journal.reading import Trace
from clawd.journal.records import ToolDone, ToolIntent
from clawd.models.base import AssistantMessage, ToolMessage
from clawd.response import Effect
from clawd.testing import ScriptedModel
from clawd.texts import say
from clawd.tools.base import Tool
from clawd.tools.calculator import CalculatorConfig, CalculatorTool
from tests.fakes.inner import Inner
from tests.fakes.tools import ScriptedTool, call

OPEN_TO_TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")


def kinds(trace: Trace) -> list[str]:
    """Return what a trace is about, in order."""
    return [line.what for line in trace.lines]


async def test_a_model_calculates_and_answers_from_the_result(state_dir: Path) -> None:
    wanted = call("calculator", '{"expression": "6*7"}')
    model = ScriptedModel(["Let me see.", wanted], "It is 42.")
    tools = [CalculatorTool(CalculatorConfig())]
    async with Inner(state_dir, model=model, tools=tools) as inner, asyncio.TaskGroup() as tasks:
        note = tasks.create_task(inner.seen(ToolNote, 2))
        await asyncio.sleep(0)
        view = await inner.ask("6*7?")
        assert view.answer == "Let me see.\n\nIt is 42."
        assert view.steps == 3
        told = await note
        assert isinstance(told, ToolNote)
        assert (told.name, told.phase, told.summary) == ("calculator", "ok", "42")
        await inner.delivered("Let me see.\n\nIt is 42.")
        assert model.requests[1].messages[-2:] == (
            AssistantMessage(text="Let me see.", tool_calls=(wanted,), model="scripted"),
            ToolMessage(call_id="call-1", name="calculator", text="42"),
        )
        assert ToolIntent.kind not in kinds(await inner.views.trace(view.id)), "a pure tool needs none"


async def test_several_calls_of_one_answer_run_in_order_and_all_results_are_told(state_dir: Path) -> None:
    tool = ScriptedTool("one", "two")
    model = ScriptedModel([call(id="a"), call(id="b")], "ok")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        view = await inner.ask()
    told = [m for m in model.requests[1].messages if isinstance(m, ToolMessage)]
    assert [(m.call_id, m.text) for m in told] == [("a", "one"), ("b", "two")]
    assert [context.key for context in tool.calls] == [f"{view.id}:2", f"{view.id}:3"]


async def test_an_effect_is_intended_in_the_journal_before_it_happens(state_dir: Path) -> None:
    tool = ScriptedTool(asyncio.Event())
    async with Inner(state_dir, model=ScriptedModel([call()]), tools=[tool], access=OPEN_TO_TOOLS) as inner:
        turn = await inner.say()
        await tool.called()
        assert kinds(await inner.views.trace(turn))[-1] == ToolIntent.kind


async def test_a_once_tool_cut_off_by_a_crash_is_not_run_again_and_the_model_is_told(state_dir: Path) -> None:
    tool = ScriptedTool(asyncio.Event())
    model = ScriptedModel([call()], "I am not sure whether it happened.")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        turn = await inner.say()
        await tool.called()
        await inner.restart()
        assert (await inner.ended(turn)).state == "answered"
        assert len(tool.calls) == 1
        assert model.requests[1].messages[-1] == ToolMessage(
            call_id="call-1", name="act", text=say("tool_unknown")
        )
        assert len(model.requests) == 2, "the committed answer was not paid for again"


@pytest.mark.parametrize("effect", ["pure", "idempotent", "keyed"])
async def test_a_tool_that_may_be_repeated_is_run_again_under_the_same_key(
    state_dir: Path, effect: Effect
) -> None:
    tool = ScriptedTool(asyncio.Event(), "done at last", effect=effect)
    model = ScriptedModel([call()], "ok")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        turn = await inner.say()
        await tool.called()
        await inner.restart()
        assert (await inner.ended(turn)).answer == "ok"
        first, second = tool.calls
        assert first.key == second.key
        assert model.requests[1].messages[-1] == ToolMessage(
            call_id="call-1", name="act", text="done at last"
        )


async def test_a_result_that_is_committed_is_not_asked_for_again(state_dir: Path) -> None:
    tool = ScriptedTool("done")
    model = ScriptedModel([call()], [asyncio.Event()], "ok")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        turn = await inner.say()
        await model.asked(2)
        await inner.restart()
        assert (await inner.ended(turn)).answer == "ok"
        assert len(tool.calls) == 1
        assert ToolDone.kind in kinds(await inner.views.trace(turn))


@pytest.mark.parametrize("error", [ToolRetry("act", "no such city"), ToolFailed("act", "it is broken")])
async def test_a_tool_that_fails_is_told_to_the_model_which_may_adapt(
    state_dir: Path, error: Exception
) -> None:
    model = ScriptedModel([call()], "I see.")
    tool = ScriptedTool(error)
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        assert (await inner.ask()).answer == "I see."
    (told,) = [m for m in model.requests[1].messages if isinstance(m, ToolMessage)]
    assert told.text in ("no such city", "it is broken")


@pytest.mark.parametrize("error", [KeyError("a bug"), TimeoutError("its own"), asyncio.CancelledError()])
async def test_a_bug_in_a_tool_ends_that_turn_alone(state_dir: Path, error: Exception) -> None:
    tool = ScriptedTool(error)
    model = ScriptedModel([call()], "fine")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        broken = await inner.ask("a")
        assert (broken.state, broken.answer, broken.exit_code) == ("failed", say("failed_internal"), 1)
        assert broken.error is not None
        assert broken.error.startswith("E-INTERNAL")
        assert (await inner.ask("b")).answer == "fine"
        await inner.delivered(say("failed_internal"), "fine")


async def test_a_chat_right_is_offered_no_tool_with_effects_and_can_call_none(state_dir: Path) -> None:
    tool = ScriptedTool()
    model = ScriptedModel([call()], "sorry")
    tools: list[Tool] = [tool, CalculatorTool(CalculatorConfig())]
    async with Inner(state_dir, model=model, tools=tools) as inner:
        assert (await inner.ask()).answer == "sorry"
    assert [spec.name for spec in model.requests[0].tools] == ["calculator"]
    assert not tool.calls


async def test_a_tool_that_is_gone_after_a_restart_is_told_as_an_error(state_dir: Path) -> None:
    tool = ScriptedTool(asyncio.Event(), effect="idempotent")
    model = ScriptedModel([call()], "then without")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        turn = await inner.say()
        await tool.called()
        inner.tools = ()
        await inner.restart()
        assert (await inner.ended(turn)).answer == "then without"
        (told,) = [m for m in model.requests[1].messages if isinstance(m, ToolMessage)]
        assert "no tool 'act'" in told.text


async def test_a_once_tool_that_is_gone_after_a_restart_is_still_unknown(state_dir: Path) -> None:
    tool = ScriptedTool(asyncio.Event())
    model = ScriptedModel([call()], "unsure")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        turn = await inner.say()
        await tool.called()
        inner.tools = ()
        await inner.restart()
        await inner.ended(turn)
        (told,) = [m for m in model.requests[1].messages if isinstance(m, ToolMessage)]
        assert told.text == say("tool_unknown")
