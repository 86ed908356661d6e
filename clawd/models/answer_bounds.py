"""How much of one answer is kept, whatever its wire format."""

from __future__ import annotations

from typing import Final

from clawd.models.wire import MalformedAnswer

_MAX_ARGUMENTS: Final = 4_000_000  # characters

MAX_THINKING: Final = 4_000_000
"""Characters of what a model thought; more is not kept, since a part of it is worth nothing."""


def grown(length: int, piece: str) -> int:
    """Return the length of the arguments of all calls together with one more piece of them, in characters.

    Raises:
        MalformedAnswer: it is more than anybody means.
    """
    length += len(piece)
    if length > _MAX_ARGUMENTS:
        raise MalformedAnswer(f"tool calls of more than {_MAX_ARGUMENTS} characters")
    return length
