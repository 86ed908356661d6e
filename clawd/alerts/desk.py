"""The alerts' service: reads the daemon's numbers, judges them, and sees to it that people are told.

What fires or ends is a row before anybody is told, and the row says so until the outbox has it; the outbox takes a
telling once, by its key. So a crash anywhere in between neither loses nor doubles it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clawd.alerts.base import Alert, AlertsReport, Reach
from clawd.alerts.cases import SHOWN, Cases, fingerprint_of, told
from clawd.alerts.numbers import Readings
from clawd.alerts.rules import rules_of
from clawd.alerts.silences import Silences
from clawd.alerts.telling import Told
from clawd.config.alerts import AlertsConfig
from clawd.errors import JournalError, NotPossible
from clawd.until import Interrupted, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from clawd.alerts.base import RuleName, RuleStatus, Silence, TargetTrouble, Vitals
    from clawd.alerts.cases import Case
    from clawd.alerts.rows import AlertRows
    from clawd.alerts.telling import Teller
    from clawd.ids import Clock, DeliveryId

log = logging.getLogger(__name__)

PACE_S: Final = 5.0
"""Between two readings, at least; and at most, while anything is going on."""

IDLE_S: Final = 60.0
"""Between two readings while nothing is: a disk also fills by what others write."""

LASTS_S: Final = 600.0
"""What is broken for longer is no reason to read more often: a disk may be full, and a breaker half open, for days."""

_STEADY: Final[frozenset[RuleName]] = frozenset({"crashes", "restarts", "config_refused"})
"""What fires of these ends by time alone, or by a reload, which stirs: a crash is no reason for an idle daemon to wake."""

UNTOLD_S: Final = 180.0
"""A target that could not be told for so long is not merely restarting: the daemon's status says it."""

LOST_S: Final = 15.0
"""After so long it is more than a bridge that still connects, or a call that is tried again: the log says it, and the
status does where nobody can be told."""


class Desk:
    """Implements `clawd.alerts.base.AlertDesk`.

    Args:
        rows: Keep what has to survive the process.
        teller: Hands on what people are told.
        clock: Steady for durations, wall for what people see.
        read: Reads what rules look at.
    """

    def __init__(
        self, rows: AlertRows, teller: Teller, clock: Clock, *, read: Callable[[], Awaitable[Vitals]]
    ) -> None:
        self._rows = rows
        self._teller = teller
        self._clock = clock
        self._read = read
        self._silences = Silences(rows, clock)
        self._cases = Cases(lambda rule, label: bool(self._silences.over(rule, label)))
        self._rules: Mapping[RuleName, RuleStatus] = rules_of(AlertsConfig())
        self._readings = Readings(self._rules, clock.monotonic())
        self._stirred = asyncio.Event()
        self._written: frozenset[str] = frozenset()  # fingerprints with a row
        self._busy = False
        self._read_at: float | None = None
        self._lost: frozenset[str] = frozenset()  # targets that the log has told of
        self._unheard: frozenset[str] = frozenset()  # alerts of which the log has told that nobody was told

    # --- what others ask ----------------------------------------------------------------------------------

    def configure(self, config: AlertsConfig, bridges: Sequence[str]) -> None:
        """Judge by these rules, and tell these targets, from now on; `bridges` are the configured ones."""
        self._teller.configure(config, bridges)
        self._rules = rules_of(config)
        self._readings.configure(self._rules)
        self.stir()

    def stir(self) -> None:
        """Something happened: read soon. Cheap, and safe to call often."""
        self._stirred.set()

    def firing(self) -> Mapping[str, int]:
        """Return how many alerts of each enabled rule fire now."""
        found: dict[str, int] = {name: 0 for name, rule in self._rules.items() if rule.enabled}
        for case in self._cases.live():
            if case.state == "firing":
                found[case.rule] = found.get(case.rule, 0) + 1
        return found

    def report(self) -> AlertsReport:
        """Return what is going on, what is quiet, who is told, and the rules in force."""
        now = self._clock.now()
        alerts = [case.shown(self._silences.over(case.rule, case.label)) for case in self._cases.live()]
        alerts += [
            case.shown()
            for case in self._cases.past()
            if case.resolved_at is not None and now - case.resolved_at < SHOWN
        ]
        order = {"firing": 0, "pending": 1, "resolved": 2}
        alerts.sort(key=lambda each: each.resolved_at or each.fired_at or each.began_at, reverse=True)
        return AlertsReport(
            alerts=sorted(alerts, key=lambda each: order[each.state]),
            silences=self._silences.in_force(),
            targets=self._teller.shown(),
            rules=tuple(self._rules.values()),
        )

    async def reach(self) -> Reach:
        """Return who can't be told now."""
        trouble, targets = await self._teller.trouble(), self._teller.shown()
        lost = self._for(trouble, LOST_S)
        return Reach(trouble=trouble, nobody=bool(self._announced()) and len(lost) >= len(targets))

    def _for(self, trouble: Sequence[TargetTrouble], seconds: float) -> Sequence[TargetTrouble]:
        now = self._clock.now()
        return [each for each in trouble if (now - each.since).total_seconds() >= seconds]

    async def untold(self) -> Reach:
        """Return who could not be told for some minutes by now; sooner where nobody can be told of what fires."""
        reach = await self.reach()
        return reach if reach.nobody else replace(reach, trouble=self._for(reach.trouble, UNTOLD_S))

    def _announced(self) -> Sequence[Case]:
        """Return what fires that people are told of."""
        return [each for each in self._cases.live() if each.telling in ("begin", "begun")]

    async def test(self) -> Sequence[DeliveryId]:
        """Send a test alert to every target, and return its deliveries; raises NotPossible (there is no target)."""
        now = self._clock.now()
        alert = Alert(
            fingerprint=fingerprint_of("test", now.isoformat()),
            rule="error_rate",
            label="",
            severity="warning",
            state="firing",
            value=0.0,
            above=0.0,
            began_at=now,
            fired_at=now,
            resolved_at=now,
        )
        sent = await self._teller.test(alert)
        if not sent:
            raise NotPossible(
                "nobody would be told of an alert",
                why="there is no target, or the way to its chat is not known yet",
                remedy="name targets in the section alerts (docs/alerts.md), or an owner who has written to the bot",
            )
        return sent

    async def silence(
        self, *, rule: RuleName | None, label: str | None, until: datetime, why: str, by: str
    ) -> Silence:
        """Keep these alerts quiet until then, from now on and over restarts; raises NotPossible (too many)."""
        silence = await self._silences.add(rule=rule, label=label, until=until, why=why, by=by)
        log.info("alerts_silenced", extra={"silence": silence.id, "rule": rule, "label": label, "by": by})
        return silence

    async def end_silence(self, silence: str) -> None:
        """Let a silence end now; what fires still is told. Raises NotFound."""
        await self._silences.end(silence)
        self.stir()

    # --- the service --------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take over what an earlier run left; once, before `run`."""
        await self._silences.load()
        cases, mono = await self._rows.cases(), self._clock.monotonic()
        for case in cases:  # a clock that was set back must not keep anything quiet for longer than was meant
            case.quiet_until = min(case.quiet_until, mono + self._rules[case.rule].cool_down_s)
        self._written = frozenset(case.fingerprint for case in cases)
        self._cases.take_over(cases)

    async def run(self) -> None:
        """Watch for ever. What an earlier run owed is told first."""
        await self._settle()
        while True:
            self._stirred.clear()
            await self.look()
            try:
                await until(self._stirred, self._clock.sleep(self._delay_s()))
            except Interrupted:
                await self._clock.sleep(self._rest_s())

    async def look(self) -> None:
        """Read once, judge, and tell what is to be told."""
        await self._watch_targets()
        vitals = await self._read()
        mono, wall = self._clock.monotonic(), self._clock.now()
        self._read_at, self._busy = mono, vitals.busy
        firing = {case.fingerprint for case in self._cases.live() if case.state == "firing"}
        numbers = self._readings.read(vitals, mono)
        self._cases.judge(numbers, self._rules, mono, wall, left_out=self._readings.left_out)
        self._note(firing)
        await self._settle()
        await self._silences.forget_old()

    async def _watch_targets(self) -> None:
        """Write into the log, once each, who can't be told of what fires, and of what nobody can be.

        Before anything new is told: what was handed on by then has been tried, or waits for a target that is down.
        """
        announced = {f"{case.fingerprint}:{case.fired_at}": case for case in self._announced()}
        if not announced:
            self._lost, self._unheard = frozenset(), frozenset()
            return
        reach = await self.reach()
        lost = self._for(reach.trouble, LOST_S)
        for each in lost:
            if each.target not in self._lost:
                log.warning("alert_target_lost", extra={"target": each.target, "why": each.why})
        self._lost = frozenset(each.target for each in lost)
        if not reach.nobody:
            self._unheard = frozenset()
            return
        if new := [case for key, case in announced.items() if key not in self._unheard]:
            why = (
                "; ".join(f"{each.target}: {each.why}" for each in reach.trouble) or "no target is configured"
            )
            named = ", ".join(f"{case.rule}={case.label}" if case.label else case.rule for case in new)
            level = logging.ERROR if reach.trouble else logging.WARNING  # nobody wanted to be told
            log.log(level, "alerts_told_nobody", extra={"alerts": named, "why": why})
        self._unheard = frozenset(announced)

    def _note(self, before: set[str]) -> None:
        """Write into the log what began and what ended since `before` fired."""
        for case in self._cases.live():
            if case.state == "firing" and case.fingerprint not in before:
                level = logging.ERROR if case.severity == "critical" else logging.WARNING
                log.log(level, "alert_firing", extra=_fields(case))
        for case in self._cases.past():
            if case.fingerprint in before:
                log.info("alert_resolved", extra=_fields(case))

    def _delay_s(self) -> float:
        now = self._clock.monotonic()
        watched = self._busy or any(
            now - case.began < LASTS_S
            for case in self._cases.live()
            if case.state == "pending" or case.rule not in _STEADY
        )
        owed = any(case.owes or case.unwritten for case in self._cases.everyone())
        return PACE_S if watched or owed else IDLE_S

    def _rest_s(self) -> float:
        """Return how long to wait so that readings do not come faster than their pace."""
        since_s = self._clock.monotonic() - self._read_at if self._read_at is not None else PACE_S
        return max(PACE_S - since_s, 0.0)

    async def _settle(self) -> None:
        """Write what changed, hand on what is owed, and note that; put off where the journal can't be written."""
        try:
            self._cases.regroup()
            await self._write()
            owing = self._cases.owing()
            if not owing:
                return
            several = [
                Told(key=key, telling=telling, alerts=[_calm(case) for case in cases])
                for (key, telling), cases in owing.items()
            ]
            await self._teller.tell(several)
            for cases in owing.values():
                for case in cases:
                    told(case)
            await self._write()
        except (JournalError, sqlite3.Error) as error:
            log.warning("alerts_put_off", extra={"error": str(error)})

    async def _write(self) -> None:
        changed = [case for case in self._cases.everyone() if case.unwritten]
        kept = frozenset(c.fingerprint for c in self._cases.everyone() if c.state != "pending")
        gone = self._written - kept
        if not changed and not gone:
            return
        await self._rows.put(changed, sorted(gone))
        for case in changed:
            case.unwritten = False
        self._written = kept


def _calm(case: Case) -> Alert:
    return replace(case.shown(), silenced="")


def _fields(case: Case) -> dict[str, object]:
    fields: dict[str, object] = {"rule": case.rule, "value": round(case.value, 4), "above": case.above}
    if case.label:
        fields["label"] = case.label
    return fields | ({"detail": case.detail} if case.detail else {})
