"""From what was read of the daemon to one number for each rule and label. Pure but for what windows remember."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.alerts.windows import Increase, Peak, percentile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from clawd.alerts.base import Restart, RuleName, RuleStatus, Vitals
    from clawd.observability.histogram import Histogram

log = logging.getLogger(__name__)

LEFT_OUT_S: Final = 600.0
"""For so long a rule is not looked at after a bug in it."""

_SHARE: Final = 0.95  # of the values lie below what `latency` and `first_token` look at
_BREAKER: Final = {"closed": 0.0, "rest": 0.0, "half_open": 0.5, "open": 1.0}
"""Half open is no reason to begin, for the trial may go well, and none to end: it may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """What a rule looks at, for one label.

    `enough`: so much happened that an alert may begin. `settled`: what is known covers the window, or is
    enough, so that an alert may end.
    """

    rule: RuleName
    label: str = ""
    value: float
    enough: bool = True
    settled: bool = True
    detail: str = ""
    certain: bool = False  # it need not last before it fires


class Readings:
    """Keeps the windows of all rules, and reads numbers through them.

    Args:
        rules: The rules in force; disabled ones are not looked at.
        began: When the process began to count.
    """

    def __init__(self, rules: Mapping[RuleName, RuleStatus], began: float) -> None:
        self._rules = {name: rule for name, rule in rules.items() if rule.enabled}
        self._began = began
        self._first = True
        self._increases: dict[tuple[RuleName, str], Increase] = {}
        self._lag = self._peak()
        self._at: RuleName | None = None  # the rule whose number is being read
        self._left_out: dict[RuleName, float] = {}  # until when

    @property
    def left_out(self) -> Collection[RuleName]:
        """The rules that are not looked at for a while: a bug ended a reading in them."""
        return self._left_out.keys()

    def configure(self, rules: Mapping[RuleName, RuleStatus]) -> None:
        """Use these rules from now on; a window of another length begins anew."""
        old, self._rules = self._rules, {name: rule for name, rule in rules.items() if rule.enabled}
        for key in tuple(self._increases):
            before, after = old.get(key[0]), self._rules.get(key[0])
            if before is None or after is None or before.window_s != after.window_s:
                del self._increases[key]
        self._lag = self._peak()
        self._left_out.clear()

    def _peak(self) -> Peak:
        rule = self._rules.get("loop_lag")
        return Peak(rule.window_s if rule is not None else 0.0)

    def read(self, vitals: Vitals, now: float) -> Sequence[Number]:
        """Return the number of every enabled rule and label. What is not known now has none."""
        self._leave_out(now)
        found = tuple(number for number in self._read(vitals, now) if number.rule in self._rules)
        self._at = None
        seen = {(number.rule, number.label) for number in found}
        for key in self._increases.keys() - seen:  # its model is gone
            del self._increases[key]
        self._first = False
        return found

    def _leave_out(self, now: float) -> None:
        """Leave the rule that the last reading broke off at out for a while, so that the others are read."""
        for rule, until in tuple(self._left_out.items()):
            if now >= until:
                del self._left_out[rule]
        broken, self._at = self._at, None
        if broken is None:
            return
        self._left_out[broken] = now + LEFT_OUT_S
        for key in tuple(self._increases):  # what its windows remember may be the reason
            if key[0] == broken:
                del self._increases[key]
        log.error("alert_rule_left_out", extra={"rule": broken, "for_s": LEFT_OUT_S})

    def _looked_at(self, name: RuleName) -> RuleStatus | None:
        if name in self._left_out:
            return None
        self._at = name
        return self._rules.get(name)

    def _read(self, vitals: Vitals, now: float) -> Iterator[Number]:
        failed = vitals.turns.get("failed", 0) + vitals.turns.get("dead", 0)
        ended = failed + vitals.turns.get("answered", 0)
        yield from self._rate("error_rate", "", failed, ended, now)
        yield from self._slow("latency", "", vitals.turn_s, now)
        for name, model in vitals.models.items():
            yield from self._rate("model_error_rate", name, model.failed, model.attempts, now)
            yield from self._slow("first_token", name, model.first_token, now)
            if self._looked_at("breaker_open") is not None:
                yield Number(rule="breaker_open", label=name, value=_BREAKER[model.breaker])
        if vitals.queue_age_s is not None:
            yield Number(rule="queue_age", value=vitals.queue_age_s)
        yield from self._count("dead_letters", vitals.given_up, now)
        yield from self._count("journal_errors", vitals.journal_errors, now)
        for name, bridge in vitals.bridges.items():
            down = 0.0 if bridge.connected else 1.0
            yield Number(rule="bridge_down", label=name, value=down, detail=bridge.why)
        for name, used in vitals.budgets.items():
            yield Number(rule="budget", label=name, value=used)
        if vitals.disk_full:  # a quota, or a file system that keeps a reserve, shows in no share
            yield Number(rule="disk", value=1.0, detail="the journal can't be written", certain=True)
        elif vitals.disk_used is not None:
            yield Number(rule="disk", value=vitals.disk_used)
        if self._looked_at("loop_lag") is not None:
            yield Number(rule="loop_lag", value=self._lag.read(now, vitals.loop_lag_s))

        yield from self._restarts(vitals.restarts, now)
        if self._looked_at("config_refused") is not None:
            refused = 1.0 if vitals.config_error else 0.0
            yield Number(rule="config_refused", value=refused, detail=vitals.config_error)

    def _restarts(self, restarts: Sequence[Restart], now: float) -> Iterator[Number]:
        counted: Mapping[RuleName, Sequence[Restart]] = {
            "crashes": [each for each in restarts if each.crash],
            "restarts": restarts,
        }
        for name, every in counted.items():
            rule = self._looked_at(name)
            if rule is None:
                continue
            lately = [each for each in every if now - each.at < rule.window_s]
            detail = lately[-1].detail if name == "crashes" and lately else ""
            yield Number(rule=name, value=len(lately), detail=detail)

    def _rate(self, name: RuleName, label: str, failed: float, ended: float, now: float) -> Iterator[Number]:
        rule = self._looked_at(name)
        if rule is None:
            return
        window = self._window(name, label, (failed, ended), rule.window_s, now)
        bad, all_ = window.read(now, (failed, ended))
        enough = all_ >= max(rule.min, 1)
        yield Number(
            rule=name,
            label=label,
            value=bad / all_ if all_ else 0.0,
            enough=enough,
            settled=enough or (window.is_full(now) and (not all_ or not bad)),
        )

    def _slow(self, name: RuleName, label: str, histogram: Histogram, now: float) -> Iterator[Number]:
        rule = self._looked_at(name)
        if rule is None:
            return
        numbers = tuple(histogram.counts)
        window = self._window(name, label, numbers, rule.window_s, now)
        counts = window.read(now, numbers)
        all_ = sum(counts)
        enough = all_ >= max(rule.min, 1)
        yield Number(
            rule=name,
            label=label,
            value=percentile(histogram.bounds, counts, _SHARE) if all_ else 0.0,
            enough=enough,
            settled=enough or (window.is_full(now) and not all_),
        )

    def _count(self, name: RuleName, number: float, now: float) -> Iterator[Number]:
        rule = self._looked_at(name)
        if rule is None:
            return
        window = self._window(name, "", (number,), rule.window_s, now)
        (more,) = window.read(now, (number,))
        yield Number(rule=name, value=more, settled=window.is_full(now) or more > 0)

    def _window(
        self, name: RuleName, label: str, numbers: tuple[float, ...], window_s: float, now: float
    ) -> Increase:
        key = (name, label)
        found = self._increases.get(key)
        if found is None:
            # What was counted before the first reading is news; what a model did before it was looked at is not.
            first = (0.0,) * len(numbers) if self._first else numbers
            began = self._began if self._first else now
            found = self._increases[key] = Increase(window_s, began, first)
        return found
