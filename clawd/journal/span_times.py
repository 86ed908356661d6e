"""Wall times of a story put in an order that never runs backwards. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_NONE = timedelta()


class Timeline:
    """Where moments lie, seen from the first.

    Rows are in the order in which they were written, so a row whose time lies before that of the one in front
    of it was written after the wall clock had been set back. From there on all times are moved forward by as
    much: lengths stay true. A clock that was set forward can't be told from a long wait.
    """

    def __init__(self, start: datetime, moments: Sequence[datetime]) -> None:
        self.start = start
        self.set_at: datetime | None = None
        """Where the clock was first set back; None: never."""
        self.last = start
        """The latest of the rows."""
        self.shifts: list[timedelta] = []
        """By how much each row was moved."""
        self._shift = _NONE
        self._placed: dict[datetime, datetime] = {}
        for moment in moments:
            self._add(moment)

    def _add(self, moment: datetime) -> None:
        placed = moment + self._shift
        if placed < self.last:
            self.set_at = self.last if self.set_at is None else self.set_at
            self._shift += self.last - placed
            placed = self.last
        self.last = placed
        self.shifts.append(self._shift)
        self._placed[moment] = placed

    def row(self, number: int, moment: datetime) -> datetime:
        """Return where the row of this number lies, whose own time is `moment`."""
        return moment + self.shifts[number]

    def place(self, moment: datetime, not_before: datetime | None = None) -> datetime:
        """Return where a moment lies that is no row's, but perhaps was written together with one."""
        found = self._placed.get(moment)
        return max(moment + self._shift if found is None else found, not_before or self.start)

    def touched(self, end: datetime) -> bool:
        """Whether what ends there may have been measured with a clock that was set meanwhile."""
        return self.set_at is not None and end >= self.set_at
