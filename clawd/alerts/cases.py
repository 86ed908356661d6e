"""The life of alerts: inactive, pending, firing, resolved, and what of it is to be told. Pure.

Durations are measured on a steady clock. Wall times are only shown, but for silences and for what an earlier run
left: those outlive the process.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from clawd.alerts.base import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from clawd.alerts.base import AlertState, RuleName, RuleStatus, Severity
    from clawd.alerts.numbers import Number

Telling = Literal["held", "begin", "begun", "end", "over"]
"""What people know: `held`, it is kept quiet; `begin`, it is to be told; `begun`, it was; `end`, that it ended is
to be told; `over`, nothing is left to tell."""

SHOWN: Final = timedelta(days=1)
"""For so long what has ended is still shown."""


def fingerprint_of(rule: str, label: str) -> str:
    """Return the name of a rule's alert at a label: 16 hexadecimal digits."""
    return hashlib.sha256(f"{rule}\0{label}".encode()).hexdigest()[:16]


@dataclass(slots=True, kw_only=True)
class Case:
    """One alert that is not inactive. `began` and `quiet_until` are on the steady clock."""

    fingerprint: str
    rule: RuleName
    label: str
    severity: Severity
    state: AlertState
    value: float
    above: float
    began_at: datetime
    began: float
    detail: str = ""
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    telling: Telling = "held"
    group: str = ""  # what is told together has one
    quiet_until: float = 0.0  # before that its next beginning is not told
    unwritten: bool = False  # its row does not say this yet

    @property
    def owes(self) -> bool:
        """Whether something is to be told now."""
        return self.telling in ("begin", "end")

    def shown(self, silenced: str = "") -> Alert:
        """Return it as people see it."""
        return Alert(
            fingerprint=self.fingerprint,
            rule=self.rule,
            label=self.label,
            severity=self.severity,
            state=self.state,
            value=self.value,
            above=self.above,
            began_at=self.began_at,
            fired_at=self.fired_at,
            resolved_at=self.resolved_at,
            silenced=silenced if self.state != "resolved" else "",
            detail=self.detail,
        )


class Cases:
    """All of them: those that are pending or firing, and those that have ended.

    Args:
        quiet: Whether a silence covers this rule and label now.
    """

    def __init__(self, quiet: Callable[[RuleName, str], bool]) -> None:
        self._quiet = quiet
        self._live: dict[str, Case] = {}
        self._past: dict[str, Case] = {}

    def take_over(self, cases: Iterable[Case]) -> None:
        """Go on with what an earlier run left."""
        for case in cases:
            (self._past if case.state == "resolved" else self._live)[case.fingerprint] = case

    def live(self) -> Sequence[Case]:
        """Return those that are pending or firing."""
        return tuple(self._live.values())

    def past(self) -> Sequence[Case]:
        """Return those that have ended."""
        return tuple(self._past.values())

    def everyone(self) -> Iterator[Case]:
        """Yield all of them, those that have ended first."""
        yield from self._past.values()
        yield from self._live.values()

    # --- judging ----------------------------------------------------------------------------------------

    def judge(
        self,
        numbers: Sequence[Number],
        rules: Mapping[RuleName, RuleStatus],
        mono: float,
        wall: datetime,
        *,
        left_out: Collection[RuleName] = (),
    ) -> None:
        """Move every case on, given the numbers of this moment; what changed is marked as unwritten.

        Cases of rules that were `left_out` of the reading stay as they are.
        """
        seen: set[str] = set()
        for number in numbers:
            fingerprint = fingerprint_of(number.rule, number.label)
            seen.add(fingerprint)
            self._judge(fingerprint, number, rules[number.rule], mono, wall)
        for fingerprint, case in tuple(self._live.items()):
            if fingerprint not in seen and case.rule not in left_out:
                self._vanish(case, rules[case.rule], mono, wall)
        self._tell(mono)
        self._forget(mono, wall)

    def _judge(self, fingerprint: str, number: Number, rule: RuleStatus, mono: float, wall: datetime) -> None:
        case = self._live.get(fingerprint)
        broken = number.enough and number.value > rule.above
        if case is None:
            past = self._past.get(fingerprint)
            if not broken or (past is not None and (past.owes or past.unwritten)):
                return  # an end is told before the next beginning
            case = self._live[fingerprint] = Case(
                fingerprint=fingerprint,
                rule=number.rule,
                label=number.label,
                severity=rule.severity,
                state="pending",
                value=number.value,
                above=rule.above,
                began_at=wall,
                began=mono,
                quiet_until=past.quiet_until if past is not None else 0.0,
            )
        over = number.settled and number.value <= rule.clear
        if not over:
            if number.enough:  # of too few, as after a restart, a rate is none
                case.value = number.value
            case.detail = number.detail or case.detail
            case.above, case.severity = rule.above, rule.severity
        if over and case.state == "pending":
            del self._live[fingerprint]
        elif over:
            case.value = number.value
            self._end(case, rule, mono, wall)
        elif case.state == "pending" and broken and (number.certain or mono - case.began >= rule.for_s):
            case.state, case.fired_at, case.unwritten = "firing", wall, True
            self._past.pop(fingerprint, None)

    def _vanish(self, case: Case, rule: RuleStatus, mono: float, wall: datetime) -> None:
        """End a case that has no number: its rule was switched off, or its model, bridge or budget is gone."""
        if case.state == "pending":
            del self._live[case.fingerprint]
            return
        if not rule.enabled:
            case.telling = "over"
        elif rule.rule in UNKNOWN_AT_TIMES:
            return
        self._end(case, rule, mono, wall)

    def _end(self, case: Case, rule: RuleStatus, mono: float, wall: datetime) -> None:
        told = case.telling in ("begin", "begun")
        case.state, case.resolved_at, case.unwritten = "resolved", wall, True
        case.telling = "end" if told else "over"
        case.group = ""
        if told:
            case.quiet_until = mono + rule.cool_down_s
        self._past[case.fingerprint] = self._live.pop(case.fingerprint)

    def _tell(self, mono: float) -> None:
        """Decide of what fires and was kept quiet whether it is told now."""
        for case in self._live.values():
            if case.state != "firing" or case.telling != "held":
                continue
            if mono >= case.quiet_until and not self._quiet(case.rule, case.label):
                case.telling, case.unwritten = "begin", True

    def _forget(self, mono: float, wall: datetime) -> None:
        for fingerprint, case in tuple(self._past.items()):
            ended = case.resolved_at
            old = ended is not None and not timedelta() <= wall - ended < SHOWN
            if old and mono >= case.quiet_until and not case.owes and not case.unwritten:
                del self._past[fingerprint]

    # --- telling ----------------------------------------------------------------------------------------

    def regroup(self) -> None:
        """Let what begins, or ends, at one moment be told together: one cause often breaks several rules."""
        keys: dict[Telling, str] = {}
        for case in sorted(self.everyone(), key=lambda each: each.fingerprint):
            if case.owes and case.unwritten and not case.group:
                own = f"{case.fingerprint}:{_ms(case.fired_at)}"
                case.group = keys.setdefault(case.telling, own)

    def owing(self) -> Mapping[tuple[str, Telling], Sequence[Case]]:
        """Return what is to be told now, by group."""
        found: dict[tuple[str, Telling], list[Case]] = {}
        for case in self.everyone():
            if case.owes:
                found.setdefault((case.group, case.telling), []).append(case)
        return found


UNKNOWN_AT_TIMES: Final = frozenset({"queue_age", "disk"})
"""Rules whose number may be missing for a moment: that says nothing of their end."""


def told(case: Case) -> None:
    """Note that what a case owed was handed on."""
    case.telling = "begun" if case.telling == "begin" else "over"
    case.unwritten = True


def _ms(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1000) if moment is not None else 0
