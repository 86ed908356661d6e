"""An `AlertDesk` that holds what a test put in, and does what it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clawd.alerts.base import RULES, Alert, AlertsReport, Reach, RuleStatus, Silence, TargetTrouble
from clawd.alerts.silences import NoSilence, TooManySilences
from clawd.errors import JournalUnavailable, NotPossible
from clawd.ids import DeliveryId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.alerts.base import AlertState, RuleName, Severity

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def alert(
    rule: RuleName = "bridge_down",
    label: str = "telegram",
    *,
    state: AlertState = "firing",
    severity: Severity = "critical",
    value: float = 1,
    above: float = 0,
    began_at: datetime = AT,
    silenced: str = "",
    detail: str = "",
) -> Alert:
    """Return an alert."""
    return Alert(
        fingerprint="0123456789abcdef",
        rule=rule,
        label=label,
        severity=severity,
        state=state,
        value=value,
        above=above,
        began_at=began_at,
        fired_at=None if state == "pending" else began_at,
        resolved_at=began_at if state == "resolved" else None,
        silenced=silenced,
        detail=detail,
    )


@dataclass(slots=True)
class FakeDesk:
    """Tests change its fields."""

    alerts: list[Alert] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    trouble: list[TargetTrouble] = field(default_factory=list)
    deliveries: list[DeliveryId] = field(default_factory=list)
    tested: int = 0
    full: bool = False
    unwritable: bool = False

    def report(self) -> AlertsReport:
        rules = [
            RuleStatus(
                rule=rule,
                enabled=rule != "disk",
                above=0.05,
                clear=0.03,
                min=20,
                window_s=300,
                for_s=30,
                cool_down_s=600,
                severity="warning",
            )
            for rule in RULES
        ]
        return AlertsReport(
            alerts=tuple(self.alerts),
            silences=tuple(self.silences),
            targets=tuple(self.targets),
            rules=rules,
        )

    async def reach(self) -> Reach:
        fires = any(one.state == "firing" for one in self.alerts)
        return Reach(trouble=tuple(self.trouble), nobody=fires and len(self.trouble) == len(self.targets))

    def firing(self) -> Mapping[str, int]:
        names = [one.rule for one in self.alerts if one.state == "firing"]
        return {rule: names.count(rule) for rule in RULES}

    async def test(self) -> list[DeliveryId]:
        if not self.targets:
            raise NotPossible("there is no target")
        self.tested += 1
        return self.deliveries

    async def silence(
        self, *, rule: RuleName | None, label: str | None, until: datetime, why: str, by: str
    ) -> Silence:
        if self.full:
            raise TooManySilences
        if self.unwritable:
            raise JournalUnavailable("the journal can't be written")
        made = Silence(
            id=f"silence:{len(self.silences):08x}", rule=rule, label=label, until=until, why=why, by=by
        )
        self.silences.append(made)
        self.alerts = [
            replace(one, silenced=made.id) if rule in (None, one.rule) and label in (None, one.label) else one
            for one in self.alerts
        ]
        return made

    async def end_silence(self, silence: str) -> None:
        kept = [one for one in self.silences if one.id != silence]
        if len(kept) == len(self.silences):
            raise NoSilence(silence)
        self.silences = kept
        self.alerts = [replace(one, silenced="") if one.silenced == silence else one for one in self.alerts]
