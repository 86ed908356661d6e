"""A turn that waits for a person: asked in the chat it came from, answered once, through restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clawd.config.schema import AccessConfig, AgentConfig, ToolsConfig
from clawd.fanout import Asked
from clawd.journal.base import OpenQuestion
from clawd.messages import AcceptResult, InboundControl, MessageId, Refused, Replied, Sender
from clawd.models.base import ToolMessage, UserMessage
from clawd.testing import ManualClock, RecordingBridge, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, message
from tests.fakes.tools import AskingTool, ScriptedTool, call

OPEN_TO_TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")


def asking(model: ScriptedModel, tool: ScriptedTool, **fields: Any) -> dict[str, Any]:
    return {"model": model, "tools": [tool], "access": OPEN_TO_TOOLS, **fields}


async def question_of(inner: Inner) -> OpenQuestion:
    """Return the one open question as soon as its message stands in the chat."""
    await inner.bridge.until(lambda: any(m.kind == "question" for m in inner.bridge.sends))
    (question,) = await inner.views.questions()
    return question


async def press(
    inner: Inner, kind: Any, *, sender: str = "42", chat: str = "1", **fields: Any
) -> AcceptResult:
    asked = message(bridge=inner.bridge.name, chat=chat)
    control = InboundControl(
        id=MessageId(f"press:{asked.id}"),
        address=asked.address,
        sender=Sender(id=sender),
        kind=kind,
        sent_at=asked.sent_at,
        **fields,
    )
    (result,) = await inner.inbox.accept([control])
    return result


def told(model: ScriptedModel) -> str:
    """Return what the model was told of its last call."""
    (result,) = [m for m in model.requests[-1].messages if isinstance(m, ToolMessage)]
    return result.text


async def test_a_call_is_asked_about_in_its_chat_and_runs_once_after_the_yes(state_dir: Path) -> None:
    tool, model = (
        AskingTool("pushed"),
        ScriptedModel(["Let me push.", call(arguments='{"line": "git push"}')], "Done."),
    )
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say("push it")
        question = await question_of(inner)
        asked = inner.bridge.sends[-1]
        assert (question.turn, question.tool, question.subject) == (turn, "act", "git push")
        assert asked.question == question.id
        assert [choice.word for choice in asked.choices] == ["approve", "always", "deny"]
        assert "git push" in asked.text
        assert (await inner.views.turn(turn)).state == "waiting"
        assert not tool.calls
        assert await press(inner, "approve", question=question.id) == Replied(text=say("approved"))
        view = await inner.ended(turn)
        assert view.answer == "Let me push.\n\nDone."
        assert told(model) == "pushed"
        await inner.settled()
        # What was said before the question went out with it, and is not said again.
        assert [m.text for m in inner.bridge.sends] == ["Let me push.", asked.text, "Done."]
        assert await inner.views.questions() == []
        assert len(tool.calls) == 1


@pytest.mark.parametrize("words", ["/approve", "/approve always"])
async def test_an_answer_may_be_typed(state_dir: Path, words: str) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], "Done.")
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say()
        await question_of(inner)
        await inner.accept(words)
        assert (await inner.ended(turn)).answer == "Done."
        assert len(tool.calls) == 1


async def test_a_no_is_told_to_the_model_and_nothing_runs(state_dir: Path) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], "As you like.")
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say()
        await question_of(inner)
        await inner.accept("/deny")
        assert (await inner.ended(turn)).answer == "As you like."
        assert told(model) == say("denied_person")
        assert not tool.calls


async def test_other_text_of_the_asker_means_no_and_goes_to_the_model(state_dir: Path) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], "Then to a branch.")
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say("push it")
        await question_of(inner)
        other = await inner.say("rather to a branch")
        assert (await inner.ended(turn)).answer == "Then to a branch."
        last = model.requests[-1].messages
        assert last[-2] == ToolMessage(call_id="call-1", name="act", text=say("denied_superseded"))
        assert isinstance(last[-1], UserMessage)
        assert "rather to a branch" in str(last[-1])
        merged = await inner.views.turn(other)
        assert (merged.state, merged.merged_into, merged.answer) == ("answered", turn, "Then to a branch.")
        await inner.settled()
        assert len(model.requests) == 2, "the other text made no turn of its own"
        assert not tool.calls


async def test_text_of_somebody_else_in_a_group_is_no_answer(state_dir: Path) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], "Done.", "Hello Bob.")
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say(group=True)
        question = await question_of(inner)
        bob = await inner.say("yes, do it", sender="7", group=True)
        refused = await press(inner, "approve", sender="7", question=question.id)
        assert refused == Refused(reason="not_yours", text=say("not_yours"))
        await inner.workers.ping()
        assert (await inner.views.turn(turn)).state == "waiting"
        assert not tool.calls
        await press(inner, "approve", question=question.id)
        await inner.ended(turn)
        assert (await inner.ended(bob)).answer == "Hello Bob."


@pytest.mark.parametrize("waits_here_too", [True, False])
async def test_a_question_of_another_conversation_is_not_answered_by_who_names_it(
    state_dir: Path, waits_here_too: bool
) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], [call()])
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say()
        question = await question_of(inner)
        if waits_here_too:
            await inner.say(chat="2", sender="7")
            await inner.bridge.until(lambda: [m.kind for m in inner.bridge.sends].count("question") == 2)
        forged = await press(inner, "approve", sender="7", chat="2", question=question.id)
        assert forged == Replied(text=say("nothing_to_answer"), nothing=True)
        await inner.workers.ping()
        assert (await inner.views.turn(turn)).state == "waiting"
        assert not tool.calls


async def test_an_owner_may_answer_from_anywhere(state_dir: Path) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], "Done.")
    access = AccessConfig(default="allow", grant="tools", rate="100000/s", owners=("chat:99",))
    async with Inner(state_dir, **asking(model, tool, access=access)) as inner:
        turn = await inner.say()
        question = await question_of(inner)
        await press(inner, "approve", sender="99", chat="99", question=question.id)
        assert (await inner.ended(turn)).state == "answered"


async def test_a_press_that_comes_too_late_is_told_to_who_pressed_and_not_to_the_chat(
    state_dir: Path,
) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], "Done.")
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say()
        question = await question_of(inner)
        await inner.accept("/approve")
        await inner.ended(turn)
        assert await press(inner, "deny", question=question.id) == Replied(
            text=say("nothing_to_answer"), nothing=True
        )
        await inner.settled()
        assert say("nothing_to_answer") not in inner.bridge.texts()
        await inner.accept("/deny")
        await inner.settled()
        assert inner.bridge.texts()[-1] == say("nothing_to_answer"), "what was typed is answered in the chat"


async def test_an_owner_may_answer_for_the_asker(state_dir: Path) -> None:
    tool, model = AskingTool(), ScriptedModel([call()], "Done.")
    access = AccessConfig(default="allow", grant="tools", rate="100000/s", owners=("chat:99",))
    async with Inner(state_dir, **asking(model, tool, access=access)) as inner:
        turn = await inner.say()
        question = await question_of(inner)
        await press(inner, "approve", sender="99", question=question.id)
        assert (await inner.ended(turn)).state == "answered"
        assert len(tool.calls) == 1


async def test_a_question_expires_to_no(state_dir: Path) -> None:
    tool, model, clock = AskingTool(), ScriptedModel([call()], "Too late."), ManualClock()
    settings = ToolsConfig(approval_timeout_s=600)
    async with Inner(state_dir, **asking(model, tool, clock=clock, asking=settings)) as inner:
        turn = await inner.say()
        await question_of(inner)
        await clock.advance(599)
        await inner.workers.ping()
        assert (await inner.views.turn(turn)).state == "waiting"
        await clock.advance(2)
        await inner.workers.ping()
        assert (await inner.ended(turn)).answer == "Too late."
        assert told(model) == say("denied_expired")
        assert not tool.calls


async def test_a_question_survives_restarts_and_is_asked_once(state_dir: Path) -> None:
    tool, model = AskingTool("pushed"), ScriptedModel([call()], "Done.")
    async with Inner(state_dir, **asking(model, tool, agent=AgentConfig(max_attempts=1))) as inner:
        turn = await inner.say()
        question = await question_of(inner)
        await inner.settled_deliveries()
        for _ in range(3):
            await inner.restart()
            await inner.workers.ping()
        assert (await inner.views.turn(turn)).attempts == 0, "waiting counts no attempt"
        assert await inner.views.questions() == [question]
        await press(inner, "approve", question=question.id)
        assert (await inner.ended(turn)).answer == "Done."
        await inner.settled()
        assert [m.kind for m in inner.bridge.sends] == ["question", "reply"]
        assert len(tool.calls) == 1


async def test_an_answer_that_was_accepted_before_a_crash_is_acted_upon_once(state_dir: Path) -> None:
    tool, model = AskingTool("pushed"), ScriptedModel([call()], "Done.")
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say()
        question = await question_of(inner)
        inner.workers.stop_claiming()
        await press(inner, "approve", question=question.id)
        await inner.restart()
        assert (await inner.ended(turn)).answer == "Done."
        assert len(tool.calls) == 1


async def test_a_stop_ends_a_waiting_turn(state_dir: Path) -> None:
    tool, model = AskingTool(), ScriptedModel([call()])
    async with Inner(state_dir, **asking(model, tool)) as inner:
        turn = await inner.say()
        question = await question_of(inner)
        await inner.accept("/stop")
        assert (await inner.ended(turn)).state == "cancelled"
        late = await press(inner, "approve", question=question.id)
        assert late == Replied(text=say("nothing_to_answer"), nothing=True)
        assert not tool.calls


async def test_always_lets_later_calls_pass_in_this_conversation_alone(state_dir: Path) -> None:
    tool = AskingTool()
    push, pull = call(arguments='{"line": "git push"}'), call(arguments='{"line": "git pull"}')
    model = ScriptedModel([call(arguments='{"line": "git push"}')], "one", [push, pull], "two", [push])
    async with Inner(state_dir, **asking(model, tool)) as inner:
        first = await inner.say()
        question = await question_of(inner)
        await press(inner, "approve", question=question.id, always="git *")
        await inner.ended(first)
        assert (await inner.ask()).answer == "two"
        assert len(tool.calls) == 3
        assert [m.kind for m in inner.bridge.sends].count("question") == 1
        await inner.say(chat="2")
        await inner.bridge.until(lambda: [m.kind for m in inner.bridge.sends].count("question") == 2)
        assert len(tool.calls) == 3


async def test_a_once_call_that_a_crash_cut_off_can_be_asked_about(state_dir: Path) -> None:
    tool, model = ScriptedTool(asyncio.Event(), "again"), ScriptedModel([call()], "Done.")
    async with Inner(state_dir, **asking(model, tool, asking=ToolsConfig(on_unknown="ask"))) as inner:
        turn = await inner.say()
        await tool.called()
        await inner.restart()
        question = await question_of(inner)
        assert question.about == "unknown"
        assert len(tool.calls) == 1
        await press(inner, "approve", question=question.id)
        assert (await inner.ended(turn)).answer == "Done."
        assert told(model) == "again"
        assert len(tool.calls) == 2


async def test_a_yes_is_for_one_run_also_when_that_is_cut_off(state_dir: Path) -> None:
    tool, model = ScriptedTool(asyncio.Event(), asyncio.Event()), ScriptedModel([call()], "Unsure.")
    async with Inner(state_dir, **asking(model, tool, asking=ToolsConfig(on_unknown="ask"))) as inner:
        turn = await inner.say()
        await tool.called()
        await inner.restart()
        question = await question_of(inner)
        await press(inner, "approve", question=question.id)
        await tool.called(2)
        await inner.restart()
        await inner.bridge.until(lambda: [m.kind for m in inner.bridge.sends].count("question") == 2)
        await press(inner, "deny", question=question.id)
        assert (await inner.ended(turn)).answer == "Unsure."
        assert told(model) == say("tool_unknown")
        assert len(tool.calls) == 2


async def test_a_once_call_may_be_retried_by_the_settings(state_dir: Path) -> None:
    tool, model = ScriptedTool(asyncio.Event(), "again"), ScriptedModel([call()], "Done.")
    async with Inner(state_dir, **asking(model, tool, asking=ToolsConfig(on_unknown="retry"))) as inner:
        turn = await inner.say()
        await tool.called()
        await inner.restart()
        assert (await inner.ended(turn)).answer == "Done."
        assert len(tool.calls) == 2


async def test_text_that_grew_before_a_question_is_finished_and_the_rest_grows_anew(state_dir: Path) -> None:
    bridge, shown = RecordingBridge("chat", previews=True), asyncio.Event()
    finished = asyncio.Event()
    model = ScriptedModel(["Let me push.", shown, call()], ["Done.", finished, " Really."])
    async with Inner(state_dir, **asking(model, AskingTool(), bridges=[bridge])) as inner:
        turn = await inner.say()
        await bridge.until(lambda: len(bridge.preview_calls) == 1)
        shown.set()
        question = await question_of(inner)
        await press(inner, "approve", question=question.id)
        await bridge.until(lambda: len(bridge.preview_calls) == 2)
        assert bridge.preview_calls[1].text == "Done."
        finished.set()
        await inner.ended(turn)
        await inner.settled()
        texts = bridge.texts()
        assert (texts[0], texts[2], len(texts)) == ("Let me push.", "Done. Really.", 3)


async def test_a_question_is_told_to_who_watches(state_dir: Path) -> None:
    tool, model = AskingTool(), ScriptedModel([call()])
    async with Inner(state_dir, **asking(model, tool)) as inner, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(inner.seen(Asked))
        await asyncio.sleep(0)
        await inner.say()
        event = await watching
        assert isinstance(event, Asked)
        assert [event.question.id] == [q.id for q in await inner.views.questions()]
