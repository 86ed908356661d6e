"""An answer while it is being made, whoever makes it: the events that every format is written from. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from clawd.response import FinishReason, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass(frozen=True, slots=True)
class Piece:
    """More text."""

    text: str


@dataclass(frozen=True, slots=True)
class Anew:
    """The text so far is void: another model, or another attempt, begins from nothing."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The last event: the complete answer, with what was shown of it already."""

    text: str
    model: str  # configured name of who answered; empty where nobody had to
    tool_calls: tuple[ToolCall, ...] = ()
    finish: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)


Event = Piece | Anew | Whole


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
