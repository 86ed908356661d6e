"""A turn as a state machine over its records. Pure: `apply` folds, `advance` says what comes next.

Steps count from 1. A model step that asks for n calls at step k is followed by the calls' steps
k+1 … k+n and then by the next model step, so a step's number never depends on what happened in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, assert_never

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
    TurnStarted,
    TurnsUndone,
    TurnWaiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clawd.journal.records import Record
    from clawd.response import ToolCall


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
    summary: SummaryResult | None = None  # the newest
    undone: TurnsUndone | None = None
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
    def waiting(self) -> TurnWaiting | None:
        """The question that has no answer yet; a turn asks one at a time."""
        return next(iter(self.waits.values()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskModel:
    """A model is to be asked as this step."""

    step: int


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
class Answered:
    """The last response asks for nothing more."""

    text: str
    model: str
    by_length: bool  # the model stopped at its length limit


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfSteps:
    """`max_steps` model and tool calls were made and the model wants more."""

    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyFinished:
    """The turn's end is recorded."""


Action = AskModel | CallTool | Answered | OutOfSteps | AlreadyFinished


def apply(turn: Turn, record: Record) -> Turn:
    """Return the turn after one more record."""
    match record:
        case ModelResult():
            return replace(turn, responses=(*turn.responses, record))
        case ToolIntent():
            return replace(
                turn,
                intents={**turn.intents, record.step: record},
                answers=_without(turn.answers, record.step),  # one yes is for one run
            )
        case ToolDone():
            return replace(turn, done={**turn.done, record.step: record})
        case TurnWaiting():
            return replace(turn, waits={record.step: record}, told=max(turn.told, record.told))
        case QuestionAnswered():
            return replace(turn, waits={}, answers={**turn.answers, record.step: record})
        case TurnMerged():
            return replace(turn, merges=(*turn.merges, record))
        case SummaryResult():
            return replace(turn, summary=record)
        case TurnsUndone():
            return replace(turn, undone=record)
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


def _without(answers: Mapping[int, QuestionAnswered], step: int) -> Mapping[int, QuestionAnswered]:
    return {at: answer for at, answer in answers.items() if at != step}


def fold(records: Iterable[Record]) -> Turn:
    """Return the turn that these records describe; the same after a crash as after a clean stop."""
    turn = Turn()
    for record in records:
        turn = apply(turn, record)
    return turn


def advance(turn: Turn, *, max_steps: int) -> Action:
    """Return what a worker has to do next.

    Args:
        turn: The turn so far.
        max_steps: Greatest number of model and tool calls together, at least 1.
    """
    if turn.finished is not None:
        return AlreadyFinished()
    if not turn.responses:
        return AskModel(step=1)
    last = turn.responses[-1]
    steps = len(turn.responses) + len(turn.done)
    for step, call in enumerate(last.response.tool_calls, start=last.step + 1):
        if step not in turn.done:
            if steps >= max_steps:
                return OutOfSteps(steps=steps)
            intent, said = turn.intents.get(step), turn.answers.get(step)
            return CallTool(step=step, call=call, intent=intent, answer=said)
    if last.response.tool_calls:
        if steps >= max_steps:
            return OutOfSteps(steps=steps)
        return AskModel(step=last.step + len(last.response.tool_calls) + 1)
    return Answered(
        text=turn.visible_text,
        model=last.response.model,
        by_length=last.response.finish == "length",
    )
