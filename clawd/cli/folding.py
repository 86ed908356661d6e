"""Lines that fit the screen: folded between words, or cut with `…`; in a pipe they stay as they are."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING, Final

from clawd.cli.printing import GAP, aligned, one_line, out, paint, shown, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDE: Final = r"\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60"
_PIECE: Final = re.compile(rf" +|[{_WIDE}]|[^ {_WIDE}]+")
_LEAST: Final = 16  # columns of a cell that is cut; below that it stands on a line of its own


def screen() -> int | None:
    """Return how many columns standard output has, None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fold(text: str, indent: int = 0, width: int | None = None) -> str:
    """Return a line as lines of at most `width` columns, broken between words; cells may be painted.

    A word that is longer than a line, such as a path, stays whole; wide characters need no space between them.

    Args:
        text: One line.
        indent: Columns in front of each further line.
        width: That of the screen by default; where there is none, the line stays as it is.
    """
    width = width or screen()
    if width is None or shown(text) <= width:
        return text
    lines, line = [], ""
    for piece in _PIECE.findall(text):
        if shown(line + piece.rstrip()) > width and line.strip():
            lines.append(line.rstrip())
            line = " " * indent + piece.lstrip()
        else:
            line += piece
    return "\n".join([*lines, line.rstrip()])


def put(text: str, indent: int = 0) -> None:
    """Print a result of one line, folded."""
    out(fold(text, indent))


def fitted_table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> None:
    """Print a table as `table` does, whose last column is cut to what the screen has left for it.

    Where that is too little for a text, it stands below its row. `width` as in `fold`.
    """
    width = width or screen()
    first = [row[:-1] for row in (heads, *rows)]
    left = None if width is None else width - width_of(first) - len(GAP)
    if left is not None and left < _LEAST:
        head, *lines = aligned(first)
        out(paint(head, "dim"))
        for line, row in zip(lines, rows, strict=True):
            out(line)
            if row[-1].strip(" -"):
                out(f"{GAP}{one_line(row[-1], (width or 0) - len(GAP))}")
        return
    cut = [[*row[:-1], row[-1] if left is None else one_line(row[-1], left)] for row in rows]
    head, *lines = aligned([heads, *cut])
    out(paint(head, "dim"))
    for line in lines:
        out(line)
