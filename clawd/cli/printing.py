"""Results on standard output, talk on standard error; plain where nobody looks."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from clawd.moments import length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA_VERSION = 1

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
GAP = "  "  # between columns
_PAINT = re.compile(r"\x1b\[\d*m")


def out(text: str = "") -> None:
    """Print a result."""
    sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """Print something for the person, not for the pipe."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def emit(value: Mapping[str, Any]) -> None:
    """Print one JSON object with its `schema_version`; indented for a person, one line in a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    out(json.dumps({"schema_version": SCHEMA_VERSION, **value}, ensure_ascii=False, indent=indent))


def coloured(stream: TextIO) -> bool:
    """Whether colours belong on this stream. Sources: no-color.org, force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """Return text for standard output, coloured where colours belong."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if text and coloured(sys.stdout) else text


def clean(text: str) -> str:
    """Return text from outside with its control characters made visible: a chat must not steer a terminal."""
    return "".join(c if c in "\n\t" or not _is_control(c) else f"\\x{ord(c):02x}" for c in text)


def one_line(text: str, width: int = 60) -> str:
    """Return text as one clean line of at most `width` columns."""
    line = " ".join(clean(text).split())
    return line if columns(line) <= width else f"{beginning(line, width - 1)}…"


def beginning(text: str, width: int) -> str:
    """Return as much of a text from its begin as has room in so many columns."""
    for end, char in enumerate(text):
        width -= columns(char)
        if width < 0:
            return text[:end]
    return text


def columns(text: str) -> int:
    """Return how many columns a terminal gives the text; wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under dim heads, columns aligned; for no rows only the heads."""
    head, *lines = aligned([heads, *rows])
    out(paint(head, "dim"))
    for line in lines:
        out(line)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of equal length as lines with their columns aligned; cells may be painted."""
    wide = _wide(rows)
    return [_line(row, wide) for row in rows]


def width_of(rows: Sequence[Sequence[str]]) -> int:
    """Return how many columns of the terminal the longest of the aligned rows takes at most."""
    return sum(_wide(rows)) + len(GAP) * (len(rows[0]) - 1)


def duration(seconds: float) -> str:
    """Return a length of time in its two greatest units, such as `1 d 2 h`."""
    return length(seconds)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 turn` or `2 turns`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Return bytes in megabytes."""
    return f"{count / 1024 / 1024:.1f} MB"


def when(text: str | None) -> str:
    """Return a moment of the protocol in local time: the clock for today, else the date as well."""
    if not text:
        return "-"
    moment = datetime.fromisoformat(text).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M")


def _wide(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(shown(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []


def _line(cells: Sequence[str], wide: Sequence[int]) -> str:
    padded = [cell + " " * (width - shown(cell)) for cell, width in zip(cells[:-1], wide[:-1], strict=True)]
    return GAP.join([*padded, *cells[-1:]]).rstrip()


def shown(cell: str) -> int:
    """Return the columns of a cell without those of its paint."""
    return columns(_PAINT.sub("", cell))


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf") and char != "\u200d"  # the joiner of emoji
