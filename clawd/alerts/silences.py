"""Silences: what people do not want to be told for a while. By wall clock, for a person said until when."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from clawd.alerts.base import Silence
from clawd.errors import JournalError, NotFound, NotPossible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.alerts.base import RuleName
    from clawd.alerts.rows import AlertRows
    from clawd.ids import Clock

MAX_SILENCES: Final = 100
_MAX_WHY: Final = 500


class TooManySilences(NotPossible):
    """As many are in force as there may be."""

    def __init__(self) -> None:
        super().__init__(
            f"there are {MAX_SILENCES} silences already",
            remedy="end one first (clawd alerts silence --list), or silence every rule at once",
        )


class NoSilence(NotFound):
    """It is not in force: it is over by now, or never was."""

    def __init__(self, silence: str) -> None:
        super().__init__(f"there is no silence {silence!r:.60}", remedy="clawd alerts silence --list")


def covers(silence: Silence, rule: RuleName, label: str) -> bool:
    """Whether it keeps the alert of this rule and label quiet while it is in force."""
    return silence.rule in (None, rule) and silence.label in (None, label)


class Silences:
    """Those in force, and their rows."""

    def __init__(self, rows: AlertRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._all: list[Silence] = []

    async def load(self) -> None:
        """Take over those of earlier runs."""
        self._all = list(await self._rows.silences())

    def in_force(self) -> Sequence[Silence]:
        """Return those that are not over, the next to end first."""
        now = self._clock.now()
        return sorted((each for each in self._all if each.until > now), key=lambda each: each.until)

    def over(self, rule: RuleName, label: str) -> str:
        """Return the id of a silence that covers this rule and label now; empty without one."""
        now = self._clock.now()
        for each in self._all:
            if each.until > now and covers(each, rule, label):
                return each.id
        return ""

    async def add(
        self, *, rule: RuleName | None, label: str | None, until: datetime, why: str, by: str
    ) -> Silence:
        """Return a new one, committed; raises TooManySilences, NotPossible, JournalUnavailable."""
        if until <= self._clock.now():
            raise NotPossible(
                "this silence would be over before it begins", why=f"until is {until.isoformat()}"
            )
        if len(self.in_force()) >= MAX_SILENCES:
            raise TooManySilences
        silence = Silence(
            id=f"silence:{secrets.token_hex(4)}",
            rule=rule,
            label=label,
            until=until,
            why=why[:_MAX_WHY],
            by=by,
        )
        await self._rows.add_silence(silence)
        self._all.append(silence)
        return silence

    async def end(self, silence: str) -> None:
        """Forget one; raises NoSilence, JournalUnavailable."""
        if all(each.id != silence for each in self.in_force()):
            raise NoSilence(silence)
        await self._rows.remove_silences([silence])
        self._all = [each for each in self._all if each.id != silence]

    async def forget_old(self) -> None:
        """Remove those that are over; put off where the journal can't be written."""
        now = self._clock.now()
        old = [each.id for each in self._all if each.until <= now]
        if not old:
            return
        try:
            await self._rows.remove_silences(old)
        except JournalError:
            return
        self._all = [each for each in self._all if each.id not in old]
