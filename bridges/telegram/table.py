"""A table as monospaced lines, since Telegram's messages know none."""

from __future__ import annotations

import unicodedata
from typing import Final

_WIDE: Final = frozenset({"F", "W"})


class Table:
    """Rows of cells; the first row is the head."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []

    def add_row(self) -> None:
        """Begin a row."""
        self._rows.append([])

    def add_cell(self, text: str) -> None:
        """Add a cell to the row begun last."""
        self._rows[-1].append(text)

    def render(self, *, aligned: bool) -> str:
        """Return one line per row; `aligned` pads the cells and rules off the head."""
        if not aligned:
            return "\n".join(" | ".join(row).rstrip() for row in self._rows)
        columns = max(map(len, self._rows), default=0)
        widths = [
            max((_width(row[at]) for row in self._rows if at < len(row)), default=0) for at in range(columns)
        ]
        lines = [
            " | ".join(cell + " " * (widths[at] - _width(cell)) for at, cell in enumerate(row)).rstrip()
            for row in self._rows
        ]
        lines.insert(1, "-+-".join("-" * width for width in widths))
        return "\n".join(lines)


def _width(text: str) -> int:
    """Return the columns that `text` takes in a monospaced font."""
    return sum(
        2 if unicodedata.east_asian_width(char) in _WIDE else 1
        for char in text
        if not unicodedata.combining(char)
    )
