"""Alerts as people read them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.alerts.rules import UNITS
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from clawd.alerts.base import Alert, RuleName
    from clawd.alerts.cases import Telling

MAX_LINES: Final = 10
"""Alerts of one rule that a message lists; how many more there are is said."""

_MAX_DETAIL: Final = 200


def message_of(alerts: Sequence[Alert], telling: Telling, language: str | None) -> str:
    """Return what a chat is told of alerts of one rule that begin, or end, together.

    Args:
        alerts: At least one, all of one rule.
        telling: `begin` or `end`.
        language: To write in.
    """
    head = alerts[0]
    key = "alert_begins" if telling == "begin" else "alert_ends"
    severity = say(f"alert_{head.severity}", language)
    lines = [say(key, language, severity=severity, title=title_of(head.rule, language))]
    lines += [f"- {line_of(alert, telling, language, quote=_code)}" for alert in alerts[:MAX_LINES]]
    if len(alerts) > MAX_LINES:
        lines.append("- " + say("alert_more", language, count=len(alerts) - MAX_LINES))
    if telling == "begin":
        lines.append("")  # else Markdown takes it for a part of the list's last entry
        lines.append(say("alert_try", language, try_=say(f"alert_try_{head.rule}", language)))
    return "\n".join(lines)


def title_of(rule: RuleName, language: str | None) -> str:
    """Return a rule's alert in a few words."""
    return say(f"alert_title_{rule}", language)


def line_of(
    alert: Alert, telling: Telling, language: str | None, *, quote: Callable[[str], str] = str
) -> str:
    """Return one alert: what it is about, its number against the limit, and since when.

    `quote` is applied to what others have chosen, such as names.
    """
    unit = UNITS[alert.rule]
    what = f"{quote(alert.label)}: " if alert.label else ""
    if unit != "state":
        value, above = number_of(alert.rule, alert.value), number_of(alert.rule, alert.above)
        what += say("alert_number", language, value=value, above=above)
    elif alert.detail and telling == "begin":
        what += quote(alert.detail[:_MAX_DETAIL])
    begun = alert.fired_at or alert.began_at
    if telling == "begin" or alert.resolved_at is None:
        when = say("alert_since", language, since=_moment(alert.began_at))
    else:
        when = say("alert_lasted", language, since=_moment(begun), time=_span(alert.resolved_at - begun))
    return f"{what.removesuffix(': ')}{say('alert_join', language)}{when}" if what else when


def number_of(rule: RuleName, value: float) -> str:
    """Return a rule's number with its unit."""
    match UNITS[rule]:
        case "share":
            return f"{value * 100:.1f} %"
        case "seconds":
            return f"{value:.1f} s"
        case "count" | "state":
            return f"{value:g}"


def _code(words: str) -> str:
    """Return others' words as one span of Markdown that they can't end."""
    inside = " ".join(words.replace("`", "'").split())
    return f"`{inside}`"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(span: timedelta) -> str:
    seconds = max(int(span.total_seconds()), 0)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
