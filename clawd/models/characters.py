r"""Text from models with whole characters only. Pure.

JSON may hold half of a character (`"\ud83d"`), and servers that cut a stream by UTF-16 units send the two
halves in two deltas. A lone half can be written nowhere: UTF-8 and every chat platform refuse it.
"""

from __future__ import annotations

import re
from typing import Final

_HALF: Final = re.compile("[\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"


def whole(text: str) -> str:
    """Return the text with halves that belong together joined, and others replaced by U+FFFD."""
    if _HALF.search(text) is None:
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _HALF.sub(_REPLACEMENT, joined)


class Joiner:
    """Makes the pieces of a stream whole; half a character at a piece's end waits for the next piece."""

    def __init__(self) -> None:
        self._first_half = ""

    def feed(self, text: str) -> str:
        """Return what can be shown by now. Half a character at the very end of a stream is never shown."""
        text = self._first_half + text
        self._first_half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return whole(text[: len(text) - len(self._first_half)])
