"""The rows of alerts and silences: what has to survive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from clawd.alerts.base import RULES, Silence
from clawd.alerts.cases import Case
from clawd.ids import from_ms, to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from clawd.alerts.base import RuleName
    from clawd.ids import Clock
    from clawd.store.sqlite import Store


class AlertRows:
    """Reads and writes them; what a version that is gone wrote of a rule that is gone is passed over."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def cases(self) -> Sequence[Case]:
        """Return what an earlier run left."""
        rows = await self._store.read(
            "SELECT fingerprint, rule, label, severity, value, above, detail, began_at, fired_at, resolved_at,"
            " telling, told_as, quiet_until FROM alert"
        )
        return [_case(row, self._clock) for row in rows if row[1] in RULES]

    async def put(self, cases: Sequence[Case], gone: Sequence[str] = ()) -> None:
        """Write these, remove the fingerprints that are gone; raises JournalUnavailable."""
        now, mono = to_ms(self._clock.now()), self._clock.monotonic()
        values = [_values(case, now, mono) for case in cases]

        def write(db: Connection) -> None:
            db.executemany(
                "INSERT OR REPLACE INTO alert (fingerprint, rule, label, severity, value, above, detail,"
                " began_at, fired_at, resolved_at, telling, told_as, quiet_until)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            db.executemany("DELETE FROM alert WHERE fingerprint = ?", [(each,) for each in gone])

        await self._store.write(write, kinds=("alert",))

    async def silences(self) -> Sequence[Silence]:
        """Return all silences, those that are over among them."""
        rows = await self._store.read(
            "SELECT id, rule, label, until, why, by FROM alert_silence ORDER BY until"
        )
        return [
            Silence(
                id=id_, rule=cast("RuleName | None", rule), label=label, until=from_ms(until), why=why, by=by
            )
            for id_, rule, label, until, why, by in rows
            if rule is None or rule in RULES
        ]

    async def add_silence(self, silence: Silence) -> None:
        """Keep a silence; raises JournalUnavailable."""
        values = (silence.id, silence.rule, silence.label, to_ms(silence.until), silence.why, silence.by)
        await self._store.write(
            lambda db: db.execute(
                "INSERT INTO alert_silence (id, rule, label, until, why, by) VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
        )

    async def remove_silences(self, ids: Sequence[str]) -> None:
        """Forget silences; raises JournalUnavailable."""
        await self._store.write(
            lambda db: db.executemany("DELETE FROM alert_silence WHERE id = ?", [(each,) for each in ids])
        )


def _values(case: Case, now: int, mono: float) -> tuple[object, ...]:
    quiet_ms = int((case.quiet_until - mono) * 1000)
    return (
        case.fingerprint,
        case.rule,
        case.label,
        case.severity,
        case.value,
        case.above,
        case.detail,
        to_ms(case.began_at),
        to_ms(case.fired_at) if case.fired_at is not None else 0,
        to_ms(case.resolved_at) if case.resolved_at is not None else None,
        case.telling,
        case.group,
        now + quiet_ms if quiet_ms > 0 else None,
    )


def _case(row: tuple[object, ...], clock: Clock) -> Case:
    (
        fingerprint,
        rule,
        label,
        severity,
        value,
        above,
        detail,
        began,
        fired,
        resolved,
        telling,
        group,
        quiet,
    ) = row
    left_s = (cast("int", quiet) - to_ms(clock.now())) / 1000 if quiet is not None else 0.0
    return Case(
        fingerprint=cast("str", fingerprint),
        rule=cast("RuleName", rule),
        label=cast("str", label),
        severity="critical" if severity == "critical" else "warning",
        state="firing" if resolved is None else "resolved",
        value=cast("float", value),
        above=cast("float", above),
        began_at=from_ms(cast("int", began)),
        began=clock.monotonic(),
        detail=cast("str", detail),
        fired_at=from_ms(cast("int", fired)),
        resolved_at=from_ms(cast("int", resolved)) if resolved is not None else None,
        telling=telling,  # type: ignore[arg-type] # written by `put` alone
        group=cast("str", group),
        quiet_until=clock.monotonic() + max(left_s, 0.0),
    )
