"""How alerts are told in a terminal: what is wrong, for how long, and how grave that is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from clawd.alerts.rules import UNITS
from clawd.cli.printing import duration, one_line, paint

if TYPE_CHECKING:
    from collections.abc import Sequence

    Alert = Mapping[str, Any]  # a `clawd.alerts.base.Alert`

_UNITS: Final[Mapping[str, str]] = {
    str(rule): unit for rule, unit in UNITS.items()
}  # a newer daemon has others
_COLOUR: Final = {"critical": "red", "warning": "yellow"}

_WORDS: Final = {
    "error_rate": "{value} of the turns fail",
    "model_error_rate": "{value} of what {label} is asked fails",
    "latency": "turns take {value}",
    "first_token": "the first token of {label} takes {value}",
    "queue_age": "a turn has been waiting for {value}",
    "dead_letters": "{value} given up",
    "breaker_open": "{label} is out of service",
    "bridge_down": "{label} is down",
    "budget": "{value} of the budget {label} is used",
    "disk": "the disk is {value} full",
    "loop_lag": "the event loop hung for {value}",
    "journal_errors": "the journal failed {value} times",
}


def amount(rule: str, value: float) -> str:
    """Return a rule's number with its unit."""
    unit = _UNITS.get(rule, "count")
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "state":
        return "yes" if value > 0 else "no"
    return duration(value) if unit == "seconds" else f"{value:g}"


def limit(rule: str, value: float) -> str:
    """Return what a rule's number is held against; a state has no limit."""
    return "-" if _UNITS.get(rule) == "state" else amount(rule, value)


def headline(alert: Alert) -> str:
    """Return what is wrong in a few words, without colour."""
    rule = str(alert["rule"])
    words = _WORDS.get(rule, f"{rule} {{label}}: {{value}}")
    return words.format(value=amount(rule, alert["value"]), label=one_line(alert["label"], 40))


def age(alert: Alert, now: datetime | None = None) -> str:
    """Return for how long a rule has been broken, such as `5 min`."""
    return _since(alert["began_at"], now)


def _since(moment: str, now: datetime | None) -> str:
    began = datetime.fromisoformat(moment)
    seconds = max(((now or datetime.now(UTC)) - began).total_seconds(), 0)
    whole = seconds - seconds % 60 if seconds >= 60 else round(seconds)
    return duration(whole) if whole >= 10 else f"{whole:.0f} s"


def untold(trouble: Sequence[Mapping[str, Any]], now: datetime | None = None) -> str:
    """Return who can't be told in a few words, such as `not reached: https://example.com for 5 min: …`."""
    told = []
    for each in trouble:
        why = one_line(each["why"], 200)
        told.append(f"{one_line(each['target'], 80)} for {_since(each['since'], now)}: {why}")
    return "not reached: " + "; ".join(told)


def painted(alert: Alert, text: str) -> str:
    """Return the text in the colour of an alert's severity; a silenced one is dim."""
    return paint(text, "dim" if alert.get("silenced") else _COLOUR.get(str(alert["severity"]), "yellow"))


def summary(alerts: Sequence[Alert], most: int = 3, now: datetime | None = None) -> str:
    """Return what fires as one line, such as `2 alerts: telegram is down for 5 min; …`; empty for nothing.

    What is silenced stands behind the others.
    """
    if not alerts:
        return ""
    alerts = sorted(alerts, key=lambda alert: bool(alert.get("silenced")))
    head = "1 alert: " if len(alerts) == 1 else f"{len(alerts)} alerts: "
    told = [
        painted(alert, f"{headline(alert)} for {age(alert, now)}{_quiet(alert)}") for alert in alerts[:most]
    ]
    if len(alerts) > most:
        told.append(f"{len(alerts) - most} more (clawd alerts list)")
    return painted(alerts[0], head) + "; ".join(told)


def _quiet(alert: Alert) -> str:
    return " (silenced)" if alert.get("silenced") else ""
