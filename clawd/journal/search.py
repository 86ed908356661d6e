"""Searching what was said: how texts are cut into words, what is asked for, what is found. Pure.

FTS5's own tokenizer takes a run of Chinese as one word. So characters of scripts without spaces are set
apart, in the index and in what is looked for, and a run of them is looked for as a phrase: any part of a
sentence is found, from one character on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.ids import TurnId

# Han, kana, hangul, and the scripts of South-East Asia, which set no spaces either.
_APART: Final = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3130-\u318f"
    r"\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
_TERM: Final = re.compile(r'"[^"]*"|[^\s"]+')
_WORD: Final = re.compile(r"[^\W_]")
TOOL_NAME: Final = "search_history"
"""Of the tool that searches: what it found before is no find."""

_MAX_TERMS: Final = 16
_MAX_INDEXED: Final = 100_000  # characters of one text


def words(text: str) -> str:
    """Return a text as the index keeps it."""
    return _APART.sub(r" \g<0> ", text[:_MAX_INDEXED].replace("\x00", " "))


def query(text: str, *, every: bool) -> str | None:
    """Return what FTS5 is asked, None when there is nothing to look for.

    Args:
        text: What a person or a model looks for; words in double quotes stand together.
        every: All of the terms, instead of any of them.
    """
    terms = [term.strip('"') for term in _TERM.findall(text)][:_MAX_TERMS]
    phrases = [_phrase(term) for term in terms if _WORD.search(term)]
    return (" AND " if every else " OR ").join(phrases) or None


def _phrase(term: str) -> str:
    # Within quotes nothing has a meaning to FTS5; an unfinished Latin word matches as a beginning.
    apart = words(term).replace('"', " ").strip()
    return f'"{apart}" *' if apart[-1].isascii() and apart[-1].isalnum() else f'"{apart}"'


def excerpt(text: str, looked_for: str, length: int) -> str:
    """Return the part of a text around the first thing that was looked for, on one line."""
    flat = " ".join(text.split())
    if len(flat) <= length:
        return flat
    lower = flat.lower()
    found = [lower.find(term.strip('"').lower()) for term in _TERM.findall(looked_for)]
    at = min((place for place in found if place >= 0), default=0)
    start = max(0, min(at - length // 3, len(flat) - length))
    end = start + length
    return f"{'…' if start else ''}{flat[start:end]}{'…' if end < len(flat) else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for, in the conversation that a turn belongs to."""

    turn: TurnId
    text: str
    limit: int = 5
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that was said."""

    at: datetime
    role: Literal["user", "assistant", "tool"]
    who: str  # the sender's or the tool's name; empty for the assistant
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found, best first; `behind` says that the newest rows are not in the index yet."""

    found: Sequence[Found]
    behind: bool = False


class History(Protocol):
    """What was said in a conversation, in all of its sessions."""

    async def search(self, wanted: Wanted) -> Findings:
        """Return what fits of the turn's own conversation, never of another.

        Raises:
            JournalUnavailable: it took too long, or the journal is closed.
        """
        ...
