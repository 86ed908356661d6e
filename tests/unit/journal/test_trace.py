"""What a trace says of a turn's requests: who was asked, who was not, and why."""

from __future__ import annotations

from dataclasses import replace

from clawd.journal import codec
from clawd.journal.records import VERSION, ModelResult, Record, TurnFinished
from clawd.journal.trace import record_lines
from clawd.response import ModelAttempt, ModelResponse, PassedOver

FAILED = ModelAttempt(model="main", outcome="E-MODEL-DOWN", detail="HTTP 500", duration_s=0.25)
ANSWERED = ModelAttempt(
    model="standby", outcome="ok", duration_s=1.5, first_token_s=0.5, cost_usd=0.0125, possible_usd=0.001
)
RESTS = PassedOver(model="first", reason="rest", why="HTTP 503")


def lines(record: Record) -> list[tuple[str, dict[str, str]]]:
    body = codec.encode_record(record)
    return [(line.what, dict(line.detail)) for line in record_lines(0, record.kind, VERSION, body, 1)]


def test_an_answer_comes_behind_its_attempts_and_those_behind_who_was_passed_over() -> None:
    response = ModelResponse(model="standby", text="hi", attempts=(FAILED, ANSWERED), passed_over=(RESTS,))
    passed, failed, answered, result = lines(ModelResult(step=1, response=response))
    assert passed == ("llm.passed_over", {"model": "first", "reason": "rest", "why": "HTTP 503"})
    assert failed == (
        "llm.attempt",
        {"model": "main", "outcome": "E-MODEL-DOWN", "seconds": "0.250", "why": "HTTP 500"},
    )
    assert answered[1] == {
        "model": "standby",
        "outcome": "ok",
        "seconds": "1.500",
        "first_token": "0.500",
        "usd": "0.0125",
        "perhaps_usd": "0.001",
    }
    assert (result[0], result[1]["model"]) == ("llm.result", "standby")


def test_a_turn_that_got_no_answer_tells_whom_it_asked() -> None:
    end = TurnFinished(outcome="failed", text="Sorry.", answers=(1,), attempts=(FAILED,))
    assert [what for what, _ in lines(end)] == ["llm.attempt", "turn.finished"]
    whole = replace(end, passed_over=(RESTS,), notice="(Note.)")
    assert [what for what, _ in lines(whole)] == ["llm.passed_over", "llm.attempt", "turn.finished"]
    assert lines(whole)[-1][1]["notice"] == "(Note.)"
