"""An answer while it is being made, whoever makes it: the events that every format is written from. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from clawd.jsonable import moment
from clawd.response import FinishReason, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.journal.base import OpenQuestion
    from clawd.response import JsonObject


@dataclass(frozen=True, slots=True)
class Piece:
    """More text."""

    text: str


@dataclass(frozen=True, slots=True)
class Anew:
    """The text so far is void: another model, or another attempt, begins from nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing more comes until a person has said something."""

    question: OpenQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The last event: the complete answer, with what was shown of it already."""

    text: str
    model: str  # configured name of who answered; empty where nobody had to
    tool_calls: tuple[ToolCall, ...] = ()
    finish: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    question: OpenQuestion | None = None  # what a person has to say before there is more


Event = Piece | Anew | Waiting | Whole


class Answer(Protocol):
    """An answer under way. `id` is its public name without the format's own beginning (`chatcmpl-`, `resp_`)."""

    id: str

    def events(self) -> AsyncGenerator[Event, None]:
        """Yield events and end with exactly one `Whole`.

        Raises:
            ClawdError: a RequestRefused, or what `as_refusal` makes one.
        """
        ...

    async def abandon(self) -> None:
        """The client went away before the end."""
        ...


def told_by(whole: Whole) -> JsonObject:
    """Return what only clawd says of an answer: who gave it, and what it waits for."""
    told: JsonObject = {"model": whole.model}
    if (question := whole.question) is not None:
        told["question"] = {
            "id": question.id,
            "about": question.about,
            "tool": question.tool,
            "subject": question.subject,
            "deadline": moment(question.deadline),
        }
    return told


def comment(waiting: Waiting) -> bytes:
    """Return what a stream says at once of a turn that waits; clients pass over it."""
    return f": waiting for {waiting.question.id}\n\n".encode()
