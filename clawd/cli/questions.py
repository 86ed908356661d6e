"""A question that a turn waits with, as it is shown to a person who decides by what is seen. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from clawd.cli.printing import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS: Final = "[y]es once, [a]lways, [n]o"

_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\x1b": r"\e"}
# Printable by Unicode's word, and yet nothing is seen of them: fillers, and marks that only choose a glyph.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_GAP: Final = re.compile(" {17,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a turn waits for; texts as the daemon tells them, not yet fit for a terminal."""

    id: str
    turn: str
    conversation: str
    asker: str
    about: str  # approval, unknown
    tool: str
    subject: str
    deadline: datetime

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Question:
        """Return the question of an answer or a frame; raises KeyError, ValueError for something else."""
        asker = item.get("asker") or {}
        return cls(
            id=str(item["id"]),
            turn=str(item["turn"]),
            conversation=str(item.get("conversation") or ""),
            asker=str(asker.get("name") or asker.get("id") or ""),
            about=str(item.get("about") or "approval"),
            tool=str(item.get("tool") or ""),
            subject=str(item.get("subject") or ""),
            deadline=datetime.fromisoformat(str(item["deadline"])),
        )

    @property
    def asks(self) -> str:
        """One line that says what a yes would mean."""
        tool = literal(self.tool)
        if self.about == "unknown":
            return f"{tool} was cut off and may have run. Run it again?"
        return f"{tool} wants to run:"

    @property
    def call(self) -> str:
        """The call on one line, nothing of it hidden."""
        return literal(self.subject)

    def left_s(self, now: datetime) -> float:
        """Return how many seconds are left to answer, 0 when time is up."""
        return max(0.0, (self.deadline - now).total_seconds())

    def left(self, now: datetime | None = None) -> str:
        """Return the time that is left, such as `9 min 58 s`."""
        left_s = self.left_s(now or datetime.now(UTC))
        return duration(left_s if left_s < 10 else float(round(left_s))) if left_s else "none"


def literal(text: str) -> str:
    r"""Return text on one line with everything in it visible.

    A command line must not hide a part of itself: not by escapes of a terminal, line ends, marks that turn
    the direction of writing, characters without a width, or a gap that moves its end out of sight. They
    are written as `\n`, `\x07`, `\u202e`, and a gap with its length.
    """
    seen = "".join(c if c.isprintable() and not _UNSEEN.match(c) else _escaped(c) for c in text)
    return _GAP.sub(lambda gap: rf" \x20*{len(gap[0]) - 2} ", seen)


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    return rf"\x{code:02x}" if code < 0x100 else rf"\u{code:04x}" if code < 0x10000 else rf"\U{code:08x}"
