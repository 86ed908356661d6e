"""What a person sees happen in a conversation: a closed union of events. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

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
    operator's line about a failure, "E-CODE: detail", once it was looked up.
    """

    turn: str
    outcome: Outcome
    text: str
    rest: str
    model: str | None = None
    exit_code: int = 0
    why: str = ""


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
    """The daemon stopped working on a turn that is not over; it goes on after the restart."""

    turn: str


Event = Began | Grew | Rewrote | Switched | ToolRan | Over | Ended | Said | HandedBack


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


Signal = Received | Connected | Lost | GaveUp | Interrupted
