"""What a model is shown of the session."""

from __future__ import annotations

from dataclasses import replace

from clawd.agent.context import TAKEN_BACK, lay_out, past_blocks
from clawd.agent.turn import Turn, fold
from clawd.config.schema import RouteConfig, RouteRule
from clawd.journal.base import PastTurn, Queued
from clawd.journal.records import (
    ModelResult,
    Outcome,
    Record,
    ToolDone,
    TurnFinished,
    TurnMerged,
    TurnsUndone,
)
from clawd.messages import Earlier, InboundMessage, Text, text_of
from clawd.models.base import AssistantMessage, ChatMessage, ToolMessage, UserMessage
from clawd.models.routing import prefix_remover
from clawd.response import ModelResponse, Thinking, ToolCall
from tests.fakes.inner import message

CALL = ToolCall(id="c", name="time", arguments="{}")


def result(step: int, text: str, *calls: ToolCall) -> ModelResult:
    return ModelResult(step=step, response=ModelResponse(model="m", text=text, tool_calls=calls))


def past(
    question: str, *records: Record, outcome: Outcome = "answered", text: str = "", seq: int = 1
) -> PastTurn:
    end = TurnFinished(outcome=outcome, text=text, answers=(seq,))
    return PastTurn(seq=seq, message=message(question), records=(*records, end))


def context(
    *history: PastTurn,
    turn: Turn | None = None,
    merged: dict[int, InboundMessage] | None = None,
    question: InboundMessage | None = None,
    through_step: int = 0,
) -> list[ChatMessage]:
    """Return all that could be shown for the question "now"."""
    turn = turn or Turn()
    layout = lay_out(
        history,
        past_blocks(history, turn),
        question or message("now"),
        turn,
        merged or {},
        through_step=through_step,
    )
    return [
        *(m for block in (*layout.past, *layout.context) for m in block.messages),
        *layout.question,
        *(m for block in layout.steps for m in block.messages),
    ]


def user(text: str) -> UserMessage:
    return UserMessage(message(text).parts)


def test_the_session_stands_in_front_of_the_question() -> None:
    assert context(past("a", result(1, "A")), past("b", result(1, "B"), seq=2)) == [
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
        AssistantMessage(text="let me see", tool_calls=(CALL,), model="m"),
        ToolMessage(call_id="c", name="time", text="noon"),
    ]


def test_what_a_model_thought_goes_back_to_it_in_its_own_turn_and_never_again() -> None:
    thought = (Thinking(text="hm", signature="s"),)
    answer = ModelResponse(model="m", text="let me see", tool_calls=(CALL,), thinking=thought)
    steps: list[Record] = [
        ModelResult(step=1, response=answer),
        ToolDone(step=2, call_id="c", name="time", text="noon"),
    ]
    assert context(turn=fold(steps))[1] == AssistantMessage(
        text="let me see", tool_calls=(CALL,), thinking=thought, model="m"
    )
    again = context(past("q", *steps, result(3, "noon")))
    assert again[1] == AssistantMessage(text="let me see", tool_calls=(CALL,))


def test_calls_of_a_last_answer_are_not_shown_as_nothing_followed_from_them() -> None:
    last = replace(result(1, "so far", CALL), last=True)
    assert context(past("q", last))[1] == AssistantMessage(text="so far")


def test_a_message_is_shown_without_the_prefix_that_chose_its_route() -> None:
    routes = {"deep": RouteConfig(models=("b",), rules=(RouteRule(prefix="/think"),))}
    remove = prefix_remover(routes)
    history = [past("/think one", result(1, "1"))]
    layout = lay_out(
        history, past_blocks(history, Turn(), remove), message("/think two"), Turn(), {}, shown=remove
    )
    assert layout.past[0].messages[0] == user("one")
    assert layout.question == (user("two"),)


def test_a_turn_cut_off_in_a_tool_shows_its_visible_text_and_no_call_without_a_result() -> None:
    cut = past("a", result(1, "let me see", CALL), outcome="cancelled", text="let me see (stopped here)")
    assert context(cut) == [user("a"), AssistantMessage(text="let me see (stopped here)"), user("now")]


def test_what_a_failed_turn_was_asked_is_known_when_the_user_says_try_again() -> None:
    failed = past("the long question", outcome="failed", text="Sorry, no model answered.")
    assert context(failed)[0] == user("the long question")


def test_commands_and_dead_messages_are_left_out() -> None:
    assert context(
        past("/new"), past("/model x", seq=2), past("poison", outcome="dead", text="gave up", seq=3)
    ) == [user("now")]


def test_merged_messages_stand_in_front_of_the_step_that_saw_them() -> None:
    done = ToolDone(step=2, call_id="c", name="time", text="noon")
    turn = fold(
        [
            TurnMerged(step=1, seqs=(2,)),
            result(1, "a", CALL),
            done,
            TurnMerged(step=3, seqs=(3, 4)),
            result(3, "b"),
        ]
    )
    merged = {2: message("two"), 3: message("three"), 4: message("four")}
    shown = context(turn=turn, merged=merged)
    assert [m for m in shown if isinstance(m, UserMessage)] == [
        user("now"),
        user("two"),
        user("three"),
        user("four"),
    ]
    assert shown.index(user("three")) == shown.index(ToolMessage(call_id="c", name="time", text="noon")) + 1
    # In the history they stand in the same places.
    old = replace(
        past("now", result(1, "a", CALL), done, TurnMerged(step=3, seqs=(3,)), result(3, "b")),
        merged=(Queued(seq=3, message=message("three"), right="chat"),),
    )
    assert context(old)[3:5] == [user("three"), AssistantMessage(text="b")]


def test_what_several_people_of_a_group_said_in_one_turn_carries_their_names() -> None:
    ann, bob = message("one", group=True), message("two", group=True, sender="43")
    shown = context(turn=Turn(merges=(TurnMerged(step=1, seqs=(2,)),)), merged={2: bob}, question=ann)
    assert [text_of(m.parts) for m in shown if isinstance(m, UserMessage)] == ["[Ann]\none", "[Ann]\ntwo"]
    alone = context(turn=Turn(merges=(TurnMerged(step=1, seqs=(2,)),)), merged={2: ann}, question=ann)
    assert alone == [user("one"), user("one")]


def test_an_exchange_that_was_undone_is_left_out_together_with_the_command() -> None:
    undo = past("/undo", TurnsUndone(seqs=(2,)), seq=3)
    shown = context(past("a", result(1, "A")), past("b", result(1, "B"), seq=2), undo)
    assert shown == [user("a"), AssistantMessage(text="A"), user("now")]


def test_a_question_that_was_asked_again_stands_where_it_was_asked_again() -> None:
    first = replace(
        past("a", result(1, "bad"), seq=1), merged=(Queued(seq=2, message=message("more"), right="chat"),)
    )
    again = past("/retry", TurnsUndone(seqs=(1,), again=1), result(1, "good"), seq=3)
    assert context(first, again) == [user("a"), user("more"), AssistantMessage(text="good"), user("now")]
    # The turn that asks again now shows the messages that it asks again as its own.
    now = fold([TurnsUndone(seqs=(1,), again=1)])
    assert context(first, turn=now, question=message("/retry")) == [user("a"), user("more")]


def test_steps_that_a_summary_stands_for_are_not_shown_but_what_people_said_is() -> None:
    turn = fold(
        [
            result(1, "a", CALL),
            ToolDone(step=2, call_id="c", name="time", text="noon"),
            TurnMerged(step=3, seqs=(2,)),
            result(3, "b", CALL),
            ToolDone(step=4, call_id="c", name="time", text="one"),
            result(5, "c", CALL),
            ToolDone(step=6, call_id="c", name="time", text="two"),
        ]
    )
    shown = context(turn=turn, merged={2: message("hurry")}, through_step=4)
    assert shown[:2] == [user("now"), user("hurry")]
    assert shown[2:] == [
        AssistantMessage(text="c", tool_calls=(CALL,), model="m"),
        ToolMessage(call_id="c", name="time", text="two"),
    ]


def test_the_model_is_told_of_an_undone_exchange_that_only_the_summary_knows() -> None:
    undo = past("/undo", TurnsUndone(seqs=(2,)), seq=9)
    assert context(past("a", result(1, "A"), seq=8), undo)[2:] == [
        UserMessage((Text(TAKEN_BACK),)),
        user("now"),
    ]


def test_what_a_client_tells_of_earlier_stands_in_front_of_its_message_and_stays_there() -> None:
    told = (
        Earlier(role="system", text="Be brief."),
        Earlier(role="user", text="one"),
        Earlier(role="assistant", text="1"),
    )
    first = replace(message("two"), context=told)
    expected = [
        UserMessage((Text("one"),)),
        AssistantMessage(text="1"),
        UserMessage((Text("two"),)),
    ]
    assert context(question=first) == expected
    assert lay_out([], (), first, Turn(), {}).instructions == ("Be brief.",)
    answered = PastTurn(
        seq=1,
        message=first,
        records=(result(1, "2"), TurnFinished(outcome="answered", text="2", answers=(1,))),
    )
    assert context(answered)[:4] == [*expected, AssistantMessage(text="2")]


def test_what_a_merged_message_replies_to_stands_in_front_of_it() -> None:
    told = (Earlier(role="user", text="> quoted"),)
    merged = {2: replace(message("about this"), context=told)}
    shown = context(turn=fold([TurnMerged(step=1, seqs=(2,))]), merged=merged)
    assert shown == [user("now"), user("> quoted"), user("about this")]
