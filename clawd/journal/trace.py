"""The lines of a trace: one moment in a turn's life each. Pure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, assert_never

from clawd.errors import JournalCorrupt
from clawd.ids import from_ms
from clawd.journal.codec import decode_record
from clawd.journal.reading import TraceLine
from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    PatternAllowed,
    QuestionAnswered,
    Record,
    SessionStarted,
    SettingsChanged,
    SummaryIntent,
    SummaryResult,
    ToolDone,
    ToolIntent,
    TurnFinished,
    TurnMerged,
    TurnOffline,
    TurnStarted,
    TurnsUndone,
    TurnWaiting,
)
from clawd.journal.sqlite_context import ACCEPTED
from clawd.journal.story import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.journal.story import Outgoing
    from clawd.response import ModelAttempt, ModelResponse

Detail = tuple[tuple[str, str], ...]


def record_lines(ts: int, kind: str, version: int, body: str, attempt: int) -> Iterator[TraceLine]:
    """Yield the line of a journal row, of whatever kind; what can't be read says so.

    In front of it stand the models that were asked on the way, and those that were passed over at first.
    """
    at = from_ms(ts)
    if kind == ACCEPTED:
        yield TraceLine(at=at, what=kind)
        return
    try:
        record = decode_record(kind, version, body)
    except JournalCorrupt as error:
        detail: Detail = (("unreadable", str(error)),)
    else:
        detail = _detail(record)
        for what, words in _asked(record):
            yield TraceLine(at=at, what=what, detail=words)
    yield TraceLine(at=at, what=kind, detail=(*detail, ("claim", str(attempt))))


def entry_of(ts: int, kind: str, version: int, body: str, attempt: int) -> Entry:
    """Return a journal row as spans are built from it."""
    record: Record | None = None
    if kind != ACCEPTED:
        with contextlib.suppress(JournalCorrupt):
            record = decode_record(kind, version, body)
    return Entry(at=from_ms(ts), kind=kind, claim=attempt, record=record)


def control_lines(at: int, kind: str, applied_at: int | None) -> Iterator[TraceLine]:
    """Yield the moments of a control: given, applied."""
    yield TraceLine(at=from_ms(at), what=f"control.{kind}")
    if applied_at is not None:
        yield TraceLine(at=from_ms(applied_at), what=f"control.{kind}.applied")


def delivery_lines(outgoing: Outgoing) -> Iterator[TraceLine]:
    """Yield the moments of a delivery: written, last taken, ended."""
    view = outgoing.view
    name: Detail = (("delivery", view.id),)
    yield TraceLine(at=outgoing.at, what="delivery.pending", detail=name)
    if outgoing.taken_at is not None:
        taken = (*name, ("attempt", str(view.attempt)))
        yield TraceLine(at=outgoing.taken_at, what="delivery.sending", detail=taken)
    if outgoing.ended_at is not None:
        yield TraceLine(
            at=outgoing.ended_at,
            what=f"delivery.{view.state}",
            detail=(*name, *_some(remote_id=view.remote_id, why=view.why)),
        )


def _detail(record: Record) -> Detail:
    match record:
        case TurnStarted():
            return _some(owner=record.owner, attempt=record.attempt)
        case ModelIntent():
            return _some(step=record.step, route=record.route, pin=record.pin, model=record.model)
        case ModelResult():
            return (("step", str(record.step)), *_response(record.response))
        case ToolIntent():
            return _some(step=record.step, tool=record.name, effect=record.effect)
        case ToolDone():
            return _some(
                step=record.step, tool=record.name, outcome=record.outcome, seconds=f"{record.duration_s:.3f}"
            )
        case TurnWaiting():
            return _some(
                step=record.step, tool=record.name, about=record.about, deadline=record.deadline.isoformat()
            )
        case TurnOffline():
            return _some(since=record.since.isoformat(), until=record.until.isoformat(), error=record.error)
        case QuestionAnswered():
            answer = "approved" if record.approved else "denied"
            return _some(step=record.step, answer=answer, why=record.why, by=record.by)
        case TurnMerged():
            return _some(step=record.step, messages=", ".join(map(str, record.seqs)))
        case SummaryIntent():
            return _some(step=record.step, route=record.route, model=record.model)
        case SummaryResult():
            covered = (("through_seq", str(record.through_seq)), ("through_step", str(record.through_step)))
            return (("step", str(record.step)), *covered, *_response(record.response))
        case SessionStarted():
            return _some(session=record.session)
        case PatternAllowed():
            return _some(pattern=record.pattern)
        case TurnsUndone():
            return _some(messages=", ".join(map(str, record.seqs)), again=record.again)
        case SettingsChanged():
            return _some(model=record.model, language=record.language, strict=record.strict or None)
        case TurnFinished():
            return _some(
                outcome=record.outcome,
                model=record.model,
                error=record.error,
                exit_code=record.exit_code or None,
                characters=len(record.text),
                notice=record.notice,
            )
        case _:
            assert_never(record)


def _asked(record: Record) -> Iterator[tuple[str, Detail]]:
    """Yield whom a request passed over, and its attempts, in order."""
    match record:
        case ModelResult(response=asked) | SummaryResult(response=asked) | (TurnFinished() as asked):
            for passed in asked.passed_over:
                yield "llm.passed_over", _some(model=passed.model, reason=passed.reason, why=passed.why)
            for each in asked.attempts:
                yield "llm.attempt", _attempt(each)
        case _:
            pass


def _attempt(attempt: ModelAttempt) -> Detail:
    first = attempt.first_token_s
    return _some(
        model=attempt.model,
        outcome=attempt.outcome,
        seconds=f"{attempt.duration_s:.3f}",
        first_token=f"{first:.3f}" if first is not None else None,
        usd=None if attempt.cost_usd is None else f"{attempt.cost_usd:.6g}",
        perhaps_usd=f"{attempt.possible_usd:.6g}" if attempt.possible_usd else None,
        why=attempt.detail,
    )


def _response(response: ModelResponse) -> Detail:
    return _some(
        model=response.model,
        finish=response.finish,
        calls=", ".join(call.name for call in response.tool_calls),
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
    )


def _some(**values: object) -> Detail:
    """Return the pairs that say something."""
    return tuple((name, str(value)) for name, value in values.items() if value not in (None, ""))
