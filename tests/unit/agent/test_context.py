"""What a model is shown of the session."""

from __future__ import annotations

from clawd.agent.context import build_context
from clawd.agent.turn import Turn, fold
from clawd.journal.base import PastTurn
from clawd.journal.records import ModelResult, Outcome, Record, ToolDone, TurnFinished
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage
from clawd.response import ModelResponse, ToolCall
from tests.fakes.inner import message

CALL = ToolCall(id="c", name="time", arguments="{}")


def result(step: int, text: str, *calls: ToolCall) -> ModelResult:
    return ModelResult(step=step, response=ModelResponse(model="m", text=text, tool_calls=calls))


def past(question: str, *records: Record, outcome: Outcome = "answered", text: str = "") -> PastTurn:
    end = TurnFinished(outcome=outcome, text=text, answers=(1,))
    return PastTurn(seq=1, message=message(question), records=(*records, end))


def context(*history: PastTurn, turn: Turn | None = None, chars: int = 10_000) -> list[ChatMessage]:
    """Return the context of the question "now" without the instructions."""
    system, *rest = build_context("Be good.", history, message("now"), turn or Turn(), history_chars=chars)
    assert system == SystemMessage("Be good.")
    return rest


def user(text: str) -> UserMessage:
    return UserMessage(message(text).parts)


def test_the_session_stands_in_front_of_the_question() -> None:
    assert context(past("a", result(1, "A")), past("b", result(1, "B"))) == [
        user("a"),
        AssistantMessage(text="A"),
        user("b"),
        AssistantMessage(text="B"),
        user("now"),
    ]


def test_steps_of_this_turn_follow_the_question_with_their_results() -> None:
    done = ToolDone(step=2, call_id="c", name="time", text="noon")
    assert context(turn=fold([result(1, "let me see", CALL), done])) == [
        user("now"),
        AssistantMessage(text="let me see", tool_calls=(CALL,)),
        ToolMessage(call_id="c", name="time", text="noon"),
    ]


def test_a_turn_cut_off_in_a_tool_shows_its_visible_text_and_no_call_without_a_result() -> None:
    cut = past("a", result(1, "let me see", CALL), outcome="cancelled", text="let me see (stopped here)")
    assert context(cut) == [user("a"), AssistantMessage(text="let me see (stopped here)"), user("now")]


def test_what_a_failed_turn_was_asked_is_known_when_the_user_says_try_again() -> None:
    failed = past("the long question", outcome="failed", text="Sorry, no model answered.")
    assert context(failed)[0] == user("the long question")


def test_commands_and_dead_messages_are_left_out() -> None:
    assert context(past("/new"), past("/model x"), past("poison", outcome="dead", text="gave up")) == [
        user("now")
    ]


def test_the_newest_turns_that_fit_are_kept_whole() -> None:
    history = [past(f"{n}" * 10, result(1, "x" * 10)) for n in range(5)]
    assert context(*history, chars=45) == [
        user("3" * 10),
        AssistantMessage(text="x" * 10),
        user("4" * 10),
        AssistantMessage(text="x" * 10),
        user("now"),
    ]
    assert context(*history, chars=5) == [user("now")]
