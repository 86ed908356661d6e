"""The journal's records: a closed union. A turn's state is the fold of its records, nothing else.

Every record carries `kind` (stored beside it, and stable for ever) and is written with a format
version; `VERSION` rises when a field changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from clawd.response import Effect, ModelAttempt, ModelResponse, PassedOver

if TYPE_CHECKING:
    from datetime import datetime

VERSION = 1

Outcome = Literal["answered", "failed", "cancelled", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A worker took the turn; written by `claim`, once per attempt."""

    kind: ClassVar[str] = "turn.started"
    owner: str
    attempt: int  # claims since the last committed step, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIntent:
    """A model is about to be asked. Queued, not awaited: it may be missing after a crash."""

    kind: ClassVar[str] = "llm.intent"
    step: int
    route: str
    pin: str | None = None
    model: str | None = None  # the one that is asked first
    reserve_usd: float | None = None  # what the answer may cost there; None: no price


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """A model answered. Committed before anything follows from it; never asked for again."""

    kind: ClassVar[str] = "llm.result"
    step: int
    response: ModelResponse
    last: bool = False  # asked for without tools, as the turn's limits were reached: it ends the turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolIntent:
    """A call with an effect is about to run; committed before it does. `pure` tools have none."""

    kind: ClassVar[str] = "tool.intent"
    step: int
    call_id: str
    name: str
    arguments: str  # raw JSON text
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDone:
    """A call ended.

    "unknown" is a `once` call that was cut off, "denied" one that a person refused, "skipped" one that did
    not run because of the turn's own limits.
    """

    kind: ClassVar[str] = "tool.result"
    step: int
    call_id: str
    name: str
    text: str
    outcome: Literal["ok", "error", "unknown", "denied", "skipped"] = "ok"
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWaiting:
    """The turn waits for a person's word on a call; it holds no lease and no attempt counts meanwhile."""

    kind: ClassVar[str] = "turn.waiting"
    step: int  # of the call
    about: Literal["approval", "unknown"]  # may it run; may a call of unknown outcome run again
    name: str  # the tool's
    subject: str  # what a person is shown of the call, and what patterns match
    deadline: datetime  # then the answer is no
    told: int = 0  # characters of the visible text that were delivered before the question


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOffline:
    """No model could be reached: the turn waits for the network; it holds no lease and no attempt counts.

    `attempts` are those of the request that found that out. `seen` is the last message of the conversation that was
    looked at before: a newer one, which may choose another model, is a reason to look again at once.
    """

    kind: ClassVar[str] = "turn.offline"
    since: datetime  # it waits since then, over how many tries in vain
    until: datetime  # then it fails
    error: str  # code and detail for the operator
    attempts: tuple[ModelAttempt, ...] = ()
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswered:
    """The word on the call of this step came; without one the deadline, or other text, said no."""

    kind: ClassVar[str] = "turn.resumed"
    step: int
    approved: bool
    why: Literal["person", "expired", "superseded"] = "person"
    by: str | None = None  # BRIDGE:SENDER


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnMerged:
    """Further messages became part of this turn; the model sees them from this step on."""

    kind: ClassVar[str] = "turn.merged"
    step: int
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryIntent:
    """A model is about to be asked for a summary. Queued, not awaited."""

    kind: ClassVar[str] = "summary.intent"
    step: int  # the turn's summaries count -1, -2, … beside its steps
    route: str
    model: str | None = None  # the one that is asked first
    reserve_usd: float | None = None  # what the answer may cost there; None: no price


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryResult:
    """What came before is represented by a summary from now on; never asked for again.

    It stands for the session's turns up to `through_seq`, and for this turn's own steps up to
    `through_step` (0: none).
    """

    kind: ClassVar[str] = "summary.result"
    step: int  # of the summary: -1, -2, …
    through_seq: int
    through_step: int
    text: str
    response: ModelResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsUndone:
    """`/undo`, `/retry`: these turns are no longer part of the context; `again`: the one asked again."""

    kind: ClassVar[str] = "session.undone"
    seqs: tuple[int, ...]
    again: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternAllowed:
    """Calls that match `TOOL:GLOB` pass without a question in this conversation from now on."""

    kind: ClassVar[str] = "settings.allowed"
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted:
    """`/new`: what came before this turn is no longer part of the context."""

    kind: ClassVar[str] = "session.started"
    session: int  # counts from 1 in each conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged:
    """`/model`, `/lang`: the conversation's settings from now on; None means the default."""

    kind: ClassVar[str] = "settings.changed"
    model: str | None = None
    language: str | None = None
    strict: bool = False  # only this model: no other takes over when it fails


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished:
    """The end of a turn. `text` is what the user was told, `answers` the messages it answered.

    `notice` was told beside it: lines about budgets, keys and models, which are no part of the answer.

    `attempts` are those of the last request, where no model answered it: they are settled here, as no result
    ever will. A turn that ends without them while a request is open may have paid for it.
    """

    kind: ClassVar[str] = "turn.finished"
    outcome: Outcome
    text: str
    answers: tuple[int, ...]
    model: str | None = None
    error: str | None = None  # code and detail for the operator, never shown in a chat
    exit_code: int = 0  # what a command line that waited for this turn exits with
    attempts: tuple[ModelAttempt, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()  # by the last request, where no model answered it
    notice: str = ""


Record = (
    TurnStarted
    | ModelIntent
    | ModelResult
    | ToolIntent
    | ToolDone
    | TurnWaiting
    | TurnOffline
    | QuestionAnswered
    | TurnMerged
    | SummaryIntent
    | SummaryResult
    | SessionStarted
    | SettingsChanged
    | PatternAllowed
    | TurnsUndone
    | TurnFinished
)

KINDS: dict[str, type[Record]] = {cls.kind: cls for cls in get_args(Record)}
RESULT_KINDS = frozenset({ModelResult.kind, ToolDone.kind, SummaryResult.kind})
"""Kinds of which each step has exactly one."""


def step_of(record: Record) -> int:
    """Return the step a record belongs to; the turn's own records are step 0."""
    match record:
        case (
            ModelIntent()
            | ModelResult()
            | ToolIntent()
            | ToolDone()
            | TurnWaiting()
            | QuestionAnswered()
            | TurnMerged()
            | SummaryIntent()
            | SummaryResult()
        ):
            return record.step
        case _:
            return 0
