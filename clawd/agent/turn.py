"""A turn as a state machine over its records. Pure: `apply` folds, `advance` says what comes next.

Steps count from 1. A model step that asks for n calls at step k is followed by the calls' steps
k+1 … k+n and then by the next model step, so a step's number never depends on what happened in between.

A turn that comes to its limits ends in an answer all the same: calls that are still open are skipped, and the
model is asked one last time, without tools.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, assert_never

from clawd.agent.repeats import Repeats, key_of
from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    PatternAllowed,
    QuestionAnswered,
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clawd.journal.records import Record
    from clawd.response import ModelResponse, ToolCall

Why = Literal["steps", "repeats", "time", "money"]
"""Which of a turn's limits was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a turn may go; those in force, also for a turn that goes on after a reload."""

    max_steps: int  # model and tool calls together, at least 1; the last answer comes on top
    max_usd: float = math.inf
    late: bool = False  # its time comes to an end, as the worker's clock says


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is known of a turn. `responses` and the calls' results are in the order of their steps."""

    responses: tuple[ModelResult, ...] = ()
    done: Mapping[int, ToolDone] = field(default_factory=dict)  # by step
    intents: Mapping[int, ToolIntent] = field(default_factory=dict)  # by step
    waits: Mapping[int, TurnWaiting] = field(default_factory=dict)  # by step, without an answer yet
    answers: Mapping[int, QuestionAnswered] = field(default_factory=dict)  # by step, not yet acted upon
    told: int = 0  # characters of the visible text that were delivered before its questions
    merges: tuple[TurnMerged, ...] = ()
    # By `key_of` the call: of all calls of the turn, their results since the last one that was new.
    repeats: Mapping[bytes, Repeats] = field(default_factory=dict)
    insisted: bool = False  # a call was asked for again after it was refused as repeated
    summary: SummaryResult | None = None  # the newest
    summaries_usd: float = 0.0  # what all of them cost, and may have cost
    summaries_s: float = 0.0
    undone: TurnsUndone | None = None
    offline: TurnOffline | None = None  # it waited for the network, and nobody was reached since
    was_offline: bool = False  # it has waited for the network at some time
    finished: TurnFinished | None = None

    @property
    def visible_text(self) -> str:
        """What the user has been shown of committed answers, steps separated by a blank line."""
        return "\n\n".join(r.response.text for r in self.responses if r.response.text)

    @property
    def merged(self) -> tuple[int, ...]:
        """The further messages that it answers."""
        return tuple(seq for merge in self.merges for seq in merge.seqs)

    @property
    def cost_usd(self) -> float:
        """What its committed responses cost, together with what they may have cost."""
        return sum(r.response.cost_usd for r in self.responses) + self.summaries_usd

    @property
    def worked_s(self) -> float:
        """How long its committed steps took; waiting for people is no work."""
        asked = sum(_took(r.response) for r in self.responses)
        return asked + self.summaries_s + sum(done.duration_s for done in self.done.values())

    @property
    def waiting(self) -> TurnWaiting | None:
        """The question that has no answer yet; a turn asks one at a time."""
        return next(iter(self.waits.values()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskModel:
    """A model is to be asked as this step; with `last`, without tools, for that reason."""

    step: int
    last: Why | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTool:
    """A tool is to be called as this step.

    `intent` is left by an attempt that a crash cut off; `answer` is what a person said to this call and
    has not been acted upon.
    """

    step: int
    call: ToolCall
    intent: ToolIntent | None = None
    answer: QuestionAnswered | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipCalls:
    """Calls that are not run, each with its step; with `again`, as the same one gave the same result too often."""

    calls: tuple[tuple[int, ToolCall], ...]
    why: Why
    again: bool = False  # the model may go on with other calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The last response asks for nothing more, or it was the last one that it could be asked for."""

    text: str
    model: str
    by_length: bool  # the model stopped at its length limit
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached:
    """There is nothing left even for a last answer."""

    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyFinished:
    """The turn's end is recorded."""


Action = AskModel | CallTool | SkipCalls | Answered | LimitReached | AlreadyFinished


def apply(turn: Turn, record: Record) -> Turn:
    """Return the turn after one more record."""
    match record:
        case ModelResult():
            return replace(turn, responses=(*turn.responses, record), offline=None)
        case ToolIntent():
            return replace(
                turn,
                intents={**turn.intents, record.step: record},
                answers=_without(turn.answers, record.step),  # one yes is for one run
            )
        case ToolDone():
            return _count(replace(turn, done={**turn.done, record.step: record}), record)
        case TurnWaiting():
            return replace(turn, waits={record.step: record}, told=max(turn.told, record.told))
        case QuestionAnswered():
            return replace(turn, waits={}, answers={**turn.answers, record.step: record})
        case TurnMerged():
            return replace(turn, merges=(*turn.merges, record))
        case SummaryResult():
            return replace(
                turn,
                summary=record,
                summaries_usd=turn.summaries_usd + record.response.cost_usd,
                summaries_s=turn.summaries_s + _took(record.response),
                offline=None,
            )
        case TurnsUndone():
            return replace(turn, undone=record)
        case TurnOffline():
            return replace(turn, offline=record, was_offline=True)
        case TurnFinished():
            return replace(turn, finished=record)
        case (
            TurnStarted()
            | ModelIntent()
            | SummaryIntent()
            | SessionStarted()
            | SettingsChanged()
            | PatternAllowed()
        ):
            return turn
        case _:
            assert_never(record)


def _count(turn: Turn, done: ToolDone) -> Turn:
    """Return the turn with the end of a call counted among those of the same call."""
    if not turn.responses:
        return turn
    last = turn.responses[-1]
    place = done.step - last.step - 1
    if not 0 <= place < len(last.response.tool_calls):
        return turn
    key = key_of(last.response.tool_calls[place])
    before = turn.repeats
    if key not in before and done.outcome != "skipped":
        # Something was done that had not been done: a test that is run after each of several edits is no loop.
        before = dict.fromkeys(before, Repeats())
    repeats = before.get(key, Repeats()).after(done)
    return replace(turn, repeats={**before, key: repeats}, insisted=turn.insisted or repeats.insisted)


def _took(response: ModelResponse) -> float:
    return sum(attempt.duration_s for attempt in response.attempts)


def _without(answers: Mapping[int, QuestionAnswered], step: int) -> Mapping[int, QuestionAnswered]:
    return {at: answer for at, answer in answers.items() if at != step}


def fold(records: Iterable[Record]) -> Turn:
    """Return the turn that these records describe; the same after a crash as after a clean stop."""
    turn = Turn()
    for record in records:
        turn = apply(turn, record)
    return turn


def advance(turn: Turn, limits: Limits) -> Action:
    """Return what a worker has to do next."""
    if turn.finished is not None:
        return AlreadyFinished()
    if not turn.responses:
        return AskModel(step=1, last="time" if limits.late else None)
    last = turn.responses[-1]
    calls = last.response.tool_calls
    if last.last or not calls:
        return Answered(
            text=turn.visible_text,
            model=last.response.model,
            by_length=last.response.finish == "length",
            last=last.last,
        )
    if turn.cost_usd >= limits.max_usd:
        return LimitReached(why="money")
    why = _reached(turn, limits)
    numbered = enumerate(calls, start=last.step + 1)
    if still_open := tuple((step, call) for step, call in numbered if step not in turn.done):
        return _next_call(turn, still_open, why)
    return AskModel(step=last.step + len(calls) + 1, last=why)


def _next_call(turn: Turn, still_open: tuple[tuple[int, ToolCall], ...], why: Why | None) -> Action:
    """Return what becomes of the calls without a result; money alone is no reason to leave one out."""
    if why is not None and why != "money":
        return SkipCalls(calls=still_open, why=why)
    step, call = still_open[0]
    if step not in turn.intents and turn.repeats and (before := turn.repeats.get(key_of(call))) is not None:
        if before.enough and before.refused:
            return SkipCalls(calls=still_open, why="repeats")
        if before.enough:
            return SkipCalls(calls=still_open[:1], why="repeats", again=True)
    return CallTool(step=step, call=call, intent=turn.intents.get(step), answer=turn.answers.get(step))


def _reached(turn: Turn, limits: Limits) -> Why | None:
    """Return the limit that is reached, or that one more request and a last one would pass."""
    if turn.insisted:
        return "repeats"
    if len(turn.responses) + len(turn.done) >= limits.max_steps:
        return "steps"
    if limits.late:
        return "time"
    if turn.cost_usd + 2 * max(r.response.cost_usd for r in turn.responses) > limits.max_usd:
        return "money"
    return None
