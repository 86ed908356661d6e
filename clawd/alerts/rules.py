"""The rules' defaults, each with its reason, and the rules as the configuration sets them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from clawd.alerts.base import RULES, RuleStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.alerts.base import RuleName, Severity
    from clawd.config.alerts import AlertRule, AlertsConfig

Unit = Literal["share", "seconds", "count", "state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """A rule as it is without configuration."""

    above: float
    clear: float
    unit: Unit
    min: int = 0
    window_s: float = 300
    for_s: float = 0
    cool_down_s: float = 1800
    severity: Severity = "warning"


DEFAULTS: Final[Mapping[RuleName, Default]] = {
    # One turn in twenty fails and it goes on for half a minute: people notice. Ends well below, so that a rate
    # that hovers around the limit is one alert.
    "error_rate": Default(above=0.05, clear=0.03, unit="share", min=20, for_s=30, severity="critical"),
    # Another model may have answered, so nobody has to get up for it.
    "model_error_rate": Default(above=0.05, clear=0.03, unit="share", min=20, for_s=30),
    # A turn may last 900 s, and work with tools takes its time: five minutes for one turn in twenty is too long.
    "latency": Default(above=300, clear=240, unit="seconds", min=20, for_s=60),
    # A standby is asked after 8 s, and a model is given up after 20 s.
    "first_token": Default(above=15, clear=10, unit="seconds", min=20, for_s=60),
    # Nobody takes a turn for five minutes: all workers hang, or there are too few.
    "queue_age": Default(above=300, clear=60, unit="seconds", for_s=30, severity="critical"),
    # Each is somebody's message or answer that needs a person.
    "dead_letters": Default(above=0, clear=0, unit="count", severity="critical"),
    # It opens for 30 s at a time and tries again by itself: a minute means that this did not help.
    "breaker_open": Default(above=0.5, clear=0, unit="state", for_s=60),
    # Platforms restart and networks blink; two minutes are more than that.
    "bridge_down": Default(above=0.5, clear=0, unit="state", for_s=120, severity="critical"),
    # The point at which conversations are told too. It begins anew with the day or month.
    "budget": Default(above=0.8, clear=0.8, unit="share", cool_down_s=43_200),
    # A tenth left is days ahead of the journal having to stop. It fills slowly, so it need not be told often.
    "disk": Default(above=0.9, clear=0.88, unit="share", for_s=60, cool_down_s=14_400, severity="critical"),
    # A start imports much, and one standstill heals by itself: only what comes back for half a minute is told.
    "loop_lag": Default(above=1.0, clear=0.5, unit="seconds", window_s=15, for_s=30, cool_down_s=3600),
    # Nothing is taken while the journal can't be written.
    "journal_errors": Default(above=0, clear=0, unit="count", severity="critical"),
    # Nothing is lost, but something ends the daemon: told once, and over when half an hour went well.
    "crashes": Default(above=0, clear=0, unit="count", window_s=1800),
    # An upgrade that is taken back is two. Also stops are counted: what restarts a service often sends a signal first.
    "restarts": Default(above=2, clear=1, unit="count", window_s=1800),
    # Someone who edits saves several times. What stays refused is found by the next restart, which then fails.
    "config_refused": Default(above=0.5, clear=0, unit="state", for_s=120),
}

UNITS: Final[Mapping[RuleName, Unit]] = {name: default.unit for name, default in DEFAULTS.items()}

PER: Final[Mapping[RuleName, str]] = {
    "model_error_rate": "model",
    "first_token": "model",
    "breaker_open": "model",
    "bridge_down": "bridge",
    "budget": "budget",
}
"""What the labels of a rule are; the others have none."""

MOMENTARY: Final[frozenset[RuleName]] = frozenset(
    {"queue_age", "breaker_open", "bridge_down", "budget", "disk", "config_refused"}
)
"""Rules that look at what is so now: they have no window, and no `min`."""

UNRATED: Final[frozenset[RuleName]] = MOMENTARY | {
    "dead_letters",
    "loop_lag",
    "journal_errors",
    "crashes",
    "restarts",
}
"""Rules without a share or percentile, hence without a `min`."""


def rules_of(config: AlertsConfig) -> Mapping[RuleName, RuleStatus]:
    """Return every rule as it is in force."""
    return {name: _rule(name, getattr(config.rules, name)) for name in RULES}


def _rule(name: RuleName, said: AlertRule) -> RuleStatus:
    default = DEFAULTS[name]
    above = default.above if said.above is None else said.above
    # Someone who moves the limit moves the end along with it, in the same proportion.
    moved = default.clear * above / default.above if default.above else 0.0
    return RuleStatus(
        rule=name,
        enabled=said.enabled,
        above=above,
        clear=min(said.clear if said.clear is not None else moved, above),
        min=default.min if said.min is None else said.min,
        window_s=default.window_s if said.window_s is None else said.window_s,
        for_s=default.for_s if said.for_s is None else said.for_s,
        cool_down_s=default.cool_down_s if said.cool_down_s is None else said.cool_down_s,
        severity=said.severity or default.severity,
    )
