"""What a person sees happen in a conversation: a closed union of events. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from clawd.cli.questions import Question

Frame = dict[str, Any]
"""One line of the daemon's stream, as it came; `type` says which."""

Outcome = Literal["answered", "failed", "cancelled", "dead"]
OUTCOMES: dict[str, Outcome] = {
    "answered": "answered",
    "failed": "failed",
    "cancelled": "cancelled",
    "dead": "dead",
}


@dataclass(frozen=True, slots=True)
class Began:
    """A turn is being worked on; `attempt` above 1 means that it was interrupted before."""

    turn: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Grew:
    """More visible text of the turn."""

    turn: str
    text: str


@dataclass(frozen=True, slots=True)
class Rewrote:
    """The visible text of the turn is now this, whatever it was; it may well begin like the old one."""

    turn: str
    text: str


@dataclass(frozen=True, slots=True)
class Switched:
    """Another model, or another attempt, answers from here on; `reason` is one line for people."""

    turn: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRan:
    """A tool call began or ended. `summary` is its arguments or its result, shortened."""

    turn: str
    name: str
    phase: str  # started, ok, error
    summary: str
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The turn is over, and that is committed.

    `text` is what the user was told; `rest` the part of it that `Grew` has not shown yet. `why` is the
    operator's line about a failure, "E-CODE: detail", once it was looked up. `notice` is told beside the text.
    """

    turn: str
    outcome: Outcome
    text: str
    rest: str
    model: str | None = None
    exit_code: int = 0
    why: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Over:
    """The conversation has this turn's answer: how it ended stands in the journal."""

    turn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A line of the conversation that did not grow before our eyes: from another place or time."""

    turn: str  # empty for a push
    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The daemon stopped working on a turn that is not over.

    It goes on after the restart; with `offline`, when the network is back.
    """

    turn: str
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The turn stands still while the daemon's journal can't be written, and goes on by itself."""

    turn: str
    why: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The turn waits for a person's word; told again only for another question."""

    turn: str
    question: Question


@dataclass(frozen=True, slots=True)
class Resumed:
    """The turn no longer waits with this question: it was answered, somewhere, or its time was up."""

    turn: str
    question: Question


@dataclass(frozen=True, slots=True)
class Merged:
    """This message became part of an earlier one's turn, which answers both: it has no end of its own."""

    turn: str
    into: str


Event = (
    Began
    | Grew
    | Rewrote
    | Switched
    | ToolRan
    | Asked
    | Resumed
    | Over
    | Ended
    | Merged
    | Said
    | HandedBack
    | Held
)


# --- the connection ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """A frame came."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Connected:
    """The stream is open: from here on nothing is missed. `again`: it had been lost."""

    again: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The daemon went away; the connection is being tried again."""

    why: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The connection is not tried any more."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The person pressed Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A line was typed while a question is open; None: there are no more."""

    text: str | None


Signal = Received | Connected | Lost | GaveUp | Interrupted | Typed
