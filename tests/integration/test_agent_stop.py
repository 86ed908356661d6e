"""/stop: out of band, effective at once, wherever the turn is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.config.schema import AccessConfig
from clawd.errors import EXIT_INTERRUPTED, ToolFailed
from clawd.fanout import Delta
from clawd.messages import Address, InboundControl, MessageId, Replied, Sender
from clawd.models.base import AssistantMessage, UserMessage
from clawd.testing import ScriptedModel
from clawd.texts import say
from clawd.tools.calculator import CalculatorConfig, CalculatorTool
from tests.fakes.inner import Inner, message
from tests.fakes.tools import ScriptedTool, call

OPEN_TO_TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")


async def test_a_turn_that_thinks_is_stopped_with_its_visible_text_marked_as_cut(state_dir: Path) -> None:
    model = ScriptedModel(["Once upon ", asyncio.Event()], "next")
    async with Inner(state_dir, model=model) as inner, asyncio.TaskGroup() as tasks:
        heard = tasks.create_task(inner.seen(Delta))
        await asyncio.sleep(0)
        turn, after = await inner.say("tell"), await inner.say("and then?")
        await heard
        assert await inner.accept("/stop") == Replied(text=say("stopping"))
        view = await inner.ended(turn)
        cut = f"Once upon \n\n{say('cut')}"
        assert (view.state, view.answer, view.exit_code) == ("cancelled", cut, EXIT_INTERRUPTED)
        await inner.ended(after)
        await inner.delivered(cut, "next")
    assert model.requests[1].messages[1:] == (
        UserMessage(message("tell").parts),
        AssistantMessage(text=cut),
        UserMessage(message("and then?").parts),
    ), "the model is told what it had said"


async def test_a_turn_that_has_shown_nothing_yet_just_says_that_it_stopped(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()])
    async with Inner(state_dir, model=model) as inner:
        turn = await inner.say()
        await model.asked()
        await inner.accept("/stop")
        assert (await inner.ended(turn)).answer == say("stopped")


@pytest.mark.parametrize("stubborn", [None, ToolFailed("act", "I was cancelled"), KeyError("a bug")])
async def test_a_turn_whose_tool_runs_is_stopped_and_the_tool_cancelled(
    state_dir: Path, stubborn: Exception | None
) -> None:
    tool = ScriptedTool(asyncio.Event())
    tool.stubborn = stubborn
    model = ScriptedModel(["let me see", call()], "must not be asked")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
        turn = await inner.say()
        await tool.called()
        await inner.accept("/stop")
        view = await inner.ended(turn)
        assert view.state == "cancelled"
        assert view.answer == f"let me see\n\n{say('cut')}"
        assert tool.cancelled == 1
        assert len(model.requests) == 1


async def test_a_queued_turn_is_stopped_before_it_costs_anything(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "first"], "third")
    async with Inner(state_dir, model=model) as inner:
        first, second, third = [await inner.say(text) for text in "abc"]
        await model.asked()
        named = InboundControl(
            id=MessageId("stop:1"),
            address=Address(bridge="chat", account="bot", chat="1"),
            sender=Sender(id="42"),
            kind="stop",
            turn=second,
            sent_at=message().sent_at,
        )
        await inner.inbox.accept([named])
        held.set()
        states = [(await inner.ended(turn)).state for turn in (first, second, third)]
        assert states == ["answered", "cancelled", "answered"]
        assert len(model.requests) == 2


async def test_a_stop_without_a_turn_says_so(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        assert await inner.accept("/stop", language="zh") == Replied(
            text=say("nothing_to_stop", "zh"), nothing=True
        )
        await inner.delivered(say("nothing_to_stop", "zh"))
        assert await inner.accept("/stop", bridge="api") == Replied(text=say("nothing_to_stop"), nothing=True)
        assert len(inner.bridge.sends) == 1, "a client that pulls shows the result itself"


async def test_a_stop_that_was_committed_before_a_crash_is_applied_after_it(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()], "must not be asked")
    async with Inner(state_dir, model=model) as inner:
        turn = await inner.say()
        await model.asked()
        inner.inbox._on_stop = lambda _turn: None  # the word does not reach the turn before the crash
        await inner.accept("/stop")
        await inner.restart()
        assert (await inner.ended(turn)).state == "cancelled"
        assert len(model.requests) == 1


async def test_a_stop_brought_again_reaches_a_turn_that_the_first_one_did_not(state_dir: Path) -> None:
    """The bridge was cancelled between the commit and the word to the turn, and brings the update again."""
    model = ScriptedModel([asyncio.Event()])
    async with Inner(state_dir, model=model) as inner:
        turn = await inner.say()
        await model.asked()
        passed_on, inner.inbox._on_stop = inner.inbox._on_stop, lambda _turn: None
        await inner.accept("/stop", id="update-7")
        inner.inbox._on_stop = passed_on
        await inner.accept("/stop", id="update-7")
        assert (await inner.ended(turn)).state == "cancelled"


async def test_a_stop_passes_the_rate_limit(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()])
    access = AccessConfig(default="allow", rate="1/h")
    async with Inner(state_dir, model=model, access=access) as inner:
        turn = await inner.say()
        await model.asked()
        await inner.accept("too much")
        await inner.accept("/stop")
        assert (await inner.ended(turn)).state == "cancelled"


async def test_a_stop_of_one_conversation_leaves_the_others_alone(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "a"], [held, "b"])
    async with Inner(state_dir, model=model) as inner:
        one, two = await inner.say(chat="1"), await inner.say(chat="2")
        await model.asked(2)
        await inner.accept("/stop", chat="2")
        assert (await inner.ended(two)).state == "cancelled"
        held.set()
        assert (await inner.ended(one)).state == "answered"


async def test_a_stop_after_a_tool_step_keeps_what_the_step_said(state_dir: Path) -> None:
    calculator = call("calculator", '{"expression": "6*7"}')
    model = ScriptedModel(["wait", calculator], [" forty", asyncio.Event()])
    async with Inner(state_dir, model=model, tools=[CalculatorTool(CalculatorConfig())]) as inner:
        turn = await inner.say()
        await model.asked(2)
        await inner.bridge.until(lambda: True)
        async with asyncio.timeout(30):
            while (live := inner.fanout.live(message().address)) is None or "forty" not in live.text:
                await asyncio.sleep(0)
        await inner.accept("/stop")
        assert (await inner.ended(turn)).answer == f"wait\n\n forty\n\n{say('cut')}"
