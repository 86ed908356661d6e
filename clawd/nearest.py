"""The names that come close to a word that is none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return at most so many of the known words, the nearest first; only those that are alike enough.

    Args:
        word: What somebody wrote.
        known: What could be meant.
        most: The greatest number of words, at least 1.
        cutoff: How alike they have to be, from 0 (anything) to 1 (the same).
    """
    possible = [each for each in known if _may_be_near(word, each, cutoff)]
    if not possible:
        return []
    # 0.2 MB that only a mistake needs: of a usual configuration's keys none comes this far.
    from difflib import get_close_matches

    return get_close_matches(word, possible, n=most, cutoff=cutoff)


def _may_be_near(word: str, other: str, cutoff: float) -> bool:
    """Whether the letters in common, in whatever order, are enough; a bound of what `difflib` counts."""
    common = (Counter(word) & Counter(other)).total()
    return 2 * common >= cutoff * (len(word) + len(other))
