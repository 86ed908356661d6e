"""The turn's state machine: what comes next, whatever the records say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.agent.turn import (
    AlreadyFinished,
    Answered,
    AskModel,
    CallTool,
    LimitReached,
    Limits,
    SkipCalls,
    Turn,
    advance,
    apply,
    fold,
)
from clawd.journal.records import (
    ModelResult,
    Record,
    SummaryResult,
    ToolDone,
    ToolIntent,
    TurnFinished,
    TurnStarted,
    step_of,
)
from clawd.response import ModelAttempt, ModelResponse, ToolCall

LONG = Limits(max_steps=100)


def calls(count: int, prefix: str = "c", arguments: str = "{}") -> tuple[ToolCall, ...]:
    return tuple(ToolCall(id=f"{prefix}{n}", name="time", arguments=arguments) for n in range(count))


def result(step: int, text: str = "", tool_calls: tuple[ToolCall, ...] = ()) -> ModelResult:
    return ModelResult(step=step, response=ModelResponse(model="m", text=text, tool_calls=tool_calls))


def paid(usd: float, *tool_calls: ToolCall) -> ModelResponse:
    attempt = ModelAttempt(model="m", outcome="ok", cost_usd=usd)
    return ModelResponse(model="m", text="t", tool_calls=tool_calls, attempts=(attempt,))


def priced(step: int, usd: float, *tool_calls: ToolCall) -> ModelResult:
    return ModelResult(step=step, response=paid(usd, *tool_calls))


def done(step: int, call: ToolCall, text: str = "ok") -> ToolDone:
    return ToolDone(step=step, call_id=call.id, name=call.name, text=text)


def skipped(step: int, call: ToolCall) -> ToolDone:
    return ToolDone(step=step, call_id=call.id, name=call.name, text="not run", outcome="skipped")


def test_a_new_turn_asks_the_model_as_step_one() -> None:
    assert advance(fold([TurnStarted(owner="o", attempt=1)]), Limits(max_steps=3)) == AskModel(step=1)


def test_calls_run_in_order_and_the_model_is_asked_behind_them() -> None:
    first, second = calls(2)
    records: list[Record] = [result(1, "let me see", (first, second))]
    assert advance(fold(records), Limits(max_steps=9)) == CallTool(step=2, call=first)
    records.append(done(2, first))
    assert advance(fold(records), Limits(max_steps=9)) == CallTool(step=3, call=second)
    records.append(done(3, second))
    assert advance(fold(records), Limits(max_steps=9)) == AskModel(step=4)


def test_an_intent_without_a_result_is_shown_to_the_worker() -> None:
    (call,) = calls(1)
    intent = ToolIntent(step=2, call_id=call.id, name="time", arguments="{}", effect="once")
    assert advance(fold([result(1, "", (call,)), intent]), Limits(max_steps=9)) == CallTool(
        step=2, call=call, intent=intent
    )


def test_an_answer_joins_what_was_visible_in_every_step() -> None:
    (call,) = calls(1)
    turn = fold([result(1, "let me see", (call,)), done(2, call), result(3, "it is noon")])
    assert advance(turn, Limits(max_steps=9)) == Answered(
        text="let me see\n\nit is noon", model="m", by_length=False
    )


def test_a_model_that_wants_more_steps_than_allowed_is_asked_one_last_time() -> None:
    (call,) = calls(1)
    turn = fold([result(1, "", (call,)), done(2, call)])
    assert advance(turn, Limits(max_steps=2)) == AskModel(step=3, last="steps")
    assert advance(turn, Limits(max_steps=3)) == AskModel(step=3), "a reload may allow more"


def test_a_finished_turn_asks_for_nothing() -> None:
    end = TurnFinished(outcome="answered", text="x", answers=(1,))
    assert advance(fold([result(1, "x"), end]), Limits(max_steps=1)) == AlreadyFinished()


def test_the_last_answer_ends_the_turn_whatever_it_holds() -> None:
    (call,) = calls(1)
    last = ModelResult(
        step=3, response=ModelResponse(model="m", text="so far", tool_calls=(call,)), last=True
    )
    turn = fold([result(1, "", (call,)), done(2, call), last])
    answered = Answered(text="so far", model="m", by_length=False, last=True)
    assert advance(turn, Limits(max_steps=2)) == advance(turn, Limits(max_steps=99)) == answered


def test_an_answer_with_more_calls_than_steps_left_has_the_rest_skipped() -> None:
    many = calls(2000)
    turn = fold([result(1, "", many), *(done(2 + n, many[n]) for n in range(3))])
    rest = tuple((2 + n, many[n]) for n in range(3, 2000))
    assert advance(turn, Limits(max_steps=4)) == SkipCalls(calls=rest, why="steps")


def test_time_that_comes_to_its_end_skips_calls_and_asks_a_last_time() -> None:
    first, second = calls(2)
    late = Limits(max_steps=9, late=True)
    assert advance(fold([]), late) == AskModel(step=1, last="time")
    turn = fold([result(1, "", (first, second)), done(2, first)])
    assert advance(turn, late) == SkipCalls(calls=((3, second),), why="time")
    assert advance(apply(turn, skipped(3, second)), late) == AskModel(step=4, last="time")


def test_money_that_comes_to_its_end_lets_calls_run_and_asks_a_last_time() -> None:
    (call,) = calls(1)
    turn = fold([priced(1, 0.4, call)])
    assert advance(turn, Limits(max_steps=9, max_usd=1.3)) == CallTool(step=2, call=call)
    turn = apply(turn, done(2, call))
    assert advance(turn, Limits(max_steps=9, max_usd=1.3)) == AskModel(step=3)
    assert advance(turn, Limits(max_steps=9, max_usd=1.1)) == AskModel(step=3, last="money")


def test_money_that_is_wholly_spent_ends_the_turn_at_once() -> None:
    (call,) = calls(1)
    turn = fold([priced(1, 1.2, call)])
    assert advance(turn, Limits(max_steps=9, max_usd=1.0)) == LimitReached(why="money")
    answered = fold([priced(1, 1.2)])
    assert isinstance(advance(answered, Limits(max_steps=9, max_usd=1.0)), Answered), "it was paid for"


def test_what_may_have_been_spent_and_summaries_count_as_the_turns_cost() -> None:
    summary = SummaryResult(step=-1, through_seq=0, through_step=0, text="s", response=paid(0.25))
    turn = fold([priced(1, 0.5), summary, replace(summary, step=-2)])
    assert turn.cost_usd == pytest.approx(1.0)


def test_a_call_that_gave_the_same_result_three_times_is_refused_and_then_ends_the_turn() -> None:
    """However its JSON is written."""
    texts = [
        '{"a": 1, "b": [2]}',
        '{ "b":[2],"a":1 }',
        '{"a":1,"b":[2]}',
        '{"b": [2], "a": 1}',
        '{"a":1,"b":[2]}',
    ]
    turn, step = fold([]), 1
    seen = []
    for text in texts:
        turn = apply(turn, result(step, "", (ToolCall(id="c", name="look", arguments=text),)))
        action = advance(turn, LONG)
        seen.append(action)
        if isinstance(action, CallTool):
            turn = apply(turn, done(step + 1, action.call))
        else:
            assert isinstance(action, SkipCalls)
            turn = apply(turn, skipped(*action.calls[0]))
        step += 2
    assert [type(action) for action in seen] == [CallTool] * 3 + [SkipCalls] * 2
    assert [getattr(action, "again", None) for action in seen[3:]] == [True, False]
    assert advance(turn, LONG) == AskModel(step=step, last="repeats")


def test_a_call_with_other_arguments_or_changing_results_is_no_repeat() -> None:
    turn, step = fold([]), 1
    for n in range(12):
        call = ToolCall(id="c", name="look", arguments=f'{{"n": {n % 2}}}')
        turn = apply(turn, result(step, "", (call,)))
        assert advance(turn, LONG) == CallTool(step=step + 1, call=call)
        turn = apply(turn, done(step + 1, call, f"result {n}"))
        step += 2


def test_a_call_that_is_run_after_each_of_several_new_ones_is_no_repeat_but_a_circle_is() -> None:
    turn, step = fold([]), 1
    test = ToolCall(id="c", name="shell", arguments='{"command": "make test"}')
    for n in (1, 2, 3, 4, 4, 4):
        edit = ToolCall(id="c", name="shell", arguments=f'{{"command": "edit {n}"}}')
        for call in (edit, test):
            turn = apply(turn, result(step, "", (call,)))
            assert advance(turn, LONG) == CallTool(step=step + 1, call=call)
            turn = apply(turn, done(step + 1, call, "1 failed" if call is test else "edited"))
            step += 2
    turn = apply(turn, result(step, "", (test,)))
    assert isinstance(advance(turn, LONG), SkipCalls)


def test_equal_calls_of_one_answer_are_counted_one_by_one() -> None:
    six = calls(6)
    turn = fold([result(1, "", six), *(done(2 + n, six[n]) for n in range(3))])
    assert advance(turn, LONG) == SkipCalls(calls=((5, six[3]),), why="repeats", again=True)
    turn = apply(turn, skipped(5, six[3]))
    assert advance(turn, LONG) == SkipCalls(calls=((6, six[4]), (7, six[5])), why="repeats")


def test_a_repeated_call_that_a_crash_cut_off_is_settled_first() -> None:
    four = calls(4)
    intent = ToolIntent(step=5, call_id="c3", name="time", arguments="{}", effect="once")
    turn = fold([result(1, "", four), *(done(2 + n, four[n]) for n in range(3)), intent])
    assert advance(turn, LONG) == CallTool(step=5, call=four[3], intent=intent)


@given(
    st.lists(
        st.tuples(st.integers(min_value=0, max_value=3), st.integers(min_value=0, max_value=1)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([Limits(max_steps=100), Limits(max_steps=4), Limits(max_steps=100, max_usd=0.35)]),
    st.data(),
)
def test_a_turn_cut_off_anywhere_goes_on_to_the_same_steps(
    shape: list[tuple[int, int]], limits: Limits, data: st.DataObject
) -> None:
    """Whatever prefix of its records survives, the turn takes the same steps to the same answer."""
    script = [calls(n, f"r{i}-", f'{{"k": {kind}}}') for i, (n, kind) in enumerate(shape)]

    def next_record(turn: Turn) -> Record | None:
        match advance(turn, limits):
            case AskModel(step=step, last=last):
                index = len(turn.responses)
                wanted = script[index] if index < len(script) else ()
                return replace(priced(step, 0.1, *wanted), last=last is not None)
            case CallTool(step=step, call=call):
                return done(step, call)
            case SkipCalls(calls=((step, call), *_)):
                return skipped(step, call)
            case _:
                return None

    def run(records: list[Record]) -> list[Record]:
        turn = fold(records)
        while (new := next_record(turn)) is not None:
            records, turn = [*records, new], apply(turn, new)
        return records

    whole = run([])
    cut = data.draw(st.integers(min_value=0, max_value=len(whole)))
    assert run(whole[:cut]) == whole
    steps = [step_of(record) for record in whole]
    assert steps == list(range(1, len(whole) + 1)), "no step is left out or taken twice"
    results = [record for record in whole if isinstance(record, ModelResult)]
    assert [record.last for record in results[:-1]] == [False] * (len(results) - 1)
