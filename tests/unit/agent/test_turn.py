"""The turn's state machine: what comes next, whatever the records say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.agent.turn import AlreadyFinished, Answered, AskModel, CallTool, OutOfSteps, advance, apply, fold
from clawd.journal.records import ModelResult, Record, ToolDone, ToolIntent, TurnFinished, TurnStarted
from clawd.response import ModelResponse, ToolCall


def calls(count: int, prefix: str = "c") -> tuple[ToolCall, ...]:
    return tuple(ToolCall(id=f"{prefix}{n}", name="time", arguments="{}") for n in range(count))


def result(step: int, text: str = "", tool_calls: tuple[ToolCall, ...] = ()) -> ModelResult:
    return ModelResult(step=step, response=ModelResponse(model="m", text=text, tool_calls=tool_calls))


def done(step: int, call: ToolCall) -> ToolDone:
    return ToolDone(step=step, call_id=call.id, name=call.name, text="ok")


def test_a_new_turn_asks_the_model_as_step_one() -> None:
    assert advance(fold([TurnStarted(owner="o", attempt=1)]), max_steps=3) == AskModel(step=1)


def test_calls_run_in_order_and_the_model_is_asked_behind_them() -> None:
    first, second = calls(2)
    records: list[Record] = [result(1, "let me see", (first, second))]
    assert advance(fold(records), max_steps=9) == CallTool(step=2, call=first)
    records.append(done(2, first))
    assert advance(fold(records), max_steps=9) == CallTool(step=3, call=second)
    records.append(done(3, second))
    assert advance(fold(records), max_steps=9) == AskModel(step=4)


def test_an_intent_without_a_result_is_shown_to_the_worker() -> None:
    (call,) = calls(1)
    intent = ToolIntent(step=2, call_id=call.id, name="time", arguments="{}", effect="once")
    assert advance(fold([result(1, "", (call,)), intent]), max_steps=9) == CallTool(
        step=2, call=call, intent=intent
    )


def test_an_answer_joins_what_was_visible_in_every_step() -> None:
    (call,) = calls(1)
    turn = fold([result(1, "let me see", (call,)), done(2, call), result(3, "it is noon")])
    assert advance(turn, max_steps=9) == Answered(text="let me see\n\nit is noon", model="m", by_length=False)


def test_a_model_that_wants_more_steps_than_allowed_ends_the_turn() -> None:
    (call,) = calls(1)
    assert advance(fold([result(1, "", (call,)), done(2, call)]), max_steps=2) == OutOfSteps(steps=2)


def test_a_finished_turn_asks_for_nothing() -> None:
    end = TurnFinished(outcome="answered", text="x", answers=(1,))
    assert advance(fold([result(1, "x"), end]), max_steps=1) == AlreadyFinished()


@given(st.lists(st.integers(min_value=0, max_value=3), min_size=1, max_size=6), st.data())
def test_a_turn_cut_off_anywhere_goes_on_to_the_same_steps(shape: list[int], data: st.DataObject) -> None:
    """Whatever prefix of its records survives, the turn takes the same steps to the same answer."""
    script = [calls(n, f"r{i}-") for i, n in enumerate(shape)]
    script[-1] = ()
    script = script[: next(i for i, c in enumerate(script) if not c) + 1]

    def run(records: list[Record]) -> list[Record]:
        turn = fold(records)
        while True:
            match advance(turn, max_steps=100):
                case AskModel(step=step):
                    index = len(turn.responses)
                    new: Record = result(step, f"text {index}", script[index])
                case CallTool(step=step, call=call):
                    new = done(step, call)
                case _:
                    return records
            records = [*records, new]
            turn = apply(turn, new)

    whole = run([])
    cut = data.draw(st.integers(min_value=0, max_value=len(whole)))
    assert run(whole[:cut]) == whole


def test_an_answer_with_more_calls_than_steps_left_ends_the_turn() -> None:
    many = calls(2000)
    turn = fold([result(1, "", many), *(done(2 + n, many[n]) for n in range(3))])
    assert advance(turn, max_steps=4) == OutOfSteps(steps=4)
