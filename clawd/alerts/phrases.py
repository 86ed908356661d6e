"""An alert in a few words: what is wrong, its number with its unit, how long it has lasted. Pure.

The one place for messages, chats and the terminal, so that all of them say the same of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.alerts.base import RULES
from clawd.alerts.rules import UNITS
from clawd.moments import length
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clawd.alerts.rules import Unit

_UNITS: Final[Mapping[str, Unit]] = {
    str(rule): unit for rule, unit in UNITS.items()
}  # a newer daemon has others
_MINUTE_S: Final = 60


def amount(rule: str, value: float) -> str:
    """Return a rule's number with its unit."""
    match _UNITS.get(rule, "count"):
        case "share":
            return f"{100 * value:.3g} %"
        case "seconds":
            return length(value)
        case "state":
            return "yes" if value > 0 else "no"
        case _:
            return f"{value:g}"


def is_state(rule: str) -> bool:
    """Whether a rule's number only says that something is so."""
    return _UNITS.get(rule) == "state"


def limit(rule: str, above: float) -> str:
    """Return what a rule's number is held against; empty where that says nothing: of a state, and of none at all."""
    unit = _UNITS.get(rule, "count")
    return "" if unit == "state" or (unit == "count" and not above) else amount(rule, above)


def headline(
    rule: str,
    value: float,
    label: str,
    language: str | None = None,
    *,
    quote: Callable[[str], str] = str,
) -> str:
    """Return what is wrong, such as `telegram is down`; `quote` is applied to the label, which others have chosen."""
    if rule not in RULES:
        return f"{rule} {quote(label)}: {amount(rule, value)}" if label else f"{rule}: {amount(rule, value)}"
    return say(f"alerts_{rule}", language, value=amount(rule, value), label=quote(label))


def lasted(seconds: float) -> str:
    """Return for how long something has been so: whole seconds at first, then whole minutes."""
    seconds = max(seconds, 0)
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    return length(seconds - seconds % _MINUTE_S)
