"""How alerts are told in a terminal: what is wrong, for how long, and how grave that is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from clawd.alerts import phrases
from clawd.cli.printing import one_line, paint

if TYPE_CHECKING:
    from collections.abc import Sequence

    Alert = Mapping[str, Any]  # a `clawd.alerts.base.Alert`

_COLOUR: Final = {"critical": "red", "warning": "yellow"}


def limit(rule: str, value: float) -> str:
    """Return what a rule's number is held against; a state has no limit."""
    return "-" if phrases.is_state(rule) else phrases.amount(rule, value)


def headline(alert: Alert) -> str:
    """Return what is wrong in a few words, without colour."""
    return phrases.headline(str(alert["rule"]), alert["value"], one_line(alert["label"], 40))


def age(alert: Alert, now: datetime | None = None) -> str:
    """Return for how long a rule has been broken, such as `5 min`."""
    return _since(alert["began_at"], now)


def _since(moment: str, now: datetime | None) -> str:
    began = datetime.fromisoformat(moment)
    return phrases.lasted(((now or datetime.now(UTC)) - began).total_seconds())


def untold(trouble: Sequence[Mapping[str, Any]], now: datetime | None = None) -> str:
    """Return who can't be told in a few words, such as `not reached: https://example.com for 5 min: …`."""
    return "not reached: " + "; ".join(unreached(trouble, now, 200))


def unreached(trouble: Sequence[Mapping[str, Any]], now: datetime | None, width: int) -> list[str]:
    """Return the same with a line for each, its reason in at most so many columns."""
    return [
        f"{one_line(each['target'], 80)} for {_since(each['since'], now)}: {one_line(each['why'], width)}"
        for each in trouble
    ]


def reach(trouble: Sequence[Mapping[str, Any]], *, nobody: bool, now: datetime | None = None) -> str:
    """Return who can't be told in colour; louder where that is everybody; empty where nobody is missed."""
    if nobody and not trouble:  # nobody wanted to be told
        return paint("nobody is told of this: no target is configured (docs/alerts.md)", "yellow")
    if nobody:
        return paint(f"NOBODY is told of this: {untold(trouble, now)}", "red")
    return paint(untold(trouble, now), "yellow") if trouble else ""


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
