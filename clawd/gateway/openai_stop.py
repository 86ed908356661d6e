"""Where a text ends by the client's wish, also where its model goes on. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextEnd:
    """Lets text pass up to the first of the stop texts; what may be the beginning of one waits.

    Args:
        stops: None of them empty; without any all text passes at once.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self._over = False

    def more(self, text: str) -> str:
        """Return what of more text may be shown."""
        if not self._stops or self._over:
            return "" if self._over else text
        held = self._held + text
        end = self._found(held)
        if end is not None:
            self._over = True
            return held[:end]
        keep = max(
            (n for stop in self._stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0
        )
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def of(self, text: str) -> str:
        """Return the complete text up to its end."""
        return text[: self._found(text)]

    def _found(self, text: str) -> int | None:
        return min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=None)
