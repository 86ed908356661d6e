"""Alerts as people read them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from clawd.alerts.phrases import headline, limit
from clawd.moments import length
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from clawd.alerts.base import Alert, RuleName
    from clawd.alerts.cases import Telling

MAX_LINES: Final = 10
"""Alerts of one rule that a message lists; how many more there are is said."""

_MAX_DETAIL: Final = 200
_PLAIN: Final = re.compile(r"[\w.-]+")  # a name that a command line takes as it is


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
        lines.append(advice(alerts, language))
    return "\n".join(lines)


def title_of(rule: RuleName, language: str | None) -> str:
    """Return a rule's alert in a few words."""
    return say(f"alert_title_{rule}", language)


def line_of(
    alert: Alert, telling: Telling, language: str | None, *, quote: Callable[[str], str] = str
) -> str:
    """Return one alert: what is wrong, its number against the limit, and since when; of its end, how long it lasted.

    `quote` is applied to what others have chosen, such as names.
    """
    begun = alert.fired_at or alert.began_at
    if telling == "begin" or alert.resolved_at is None:
        what = _wrong(alert, language, quote)
        when = say("alert_since", language, since=_moment(alert.began_at))
    else:
        what = quote(alert.label) if alert.label else ""
        time = length((alert.resolved_at - begun).total_seconds())
        when = say("alert_lasted", language, since=_moment(begun), time=time)
    return f"{what}{say('alert_join', language)}{when}" if what else when


def _wrong(alert: Alert, language: str | None, quote: Callable[[str], str]) -> str:
    what = headline(alert.rule, alert.value, alert.label, language, quote=quote)
    if above := limit(alert.rule, alert.above):
        return say("alert_number", language, what=what, above=above)
    detail = quote(alert.detail[:_MAX_DETAIL]) if alert.detail else ""
    return say("alert_detail", language, what=what, detail=detail) if detail else what


def advice(alerts: Sequence[Alert], language: str | None) -> str:
    """Return what to try about alerts of one rule, with the name of what they are about where that is one."""
    names = {alert.label for alert in alerts}
    name = names.pop() if len(names) == 1 else ""
    plain = name if _PLAIN.fullmatch(name) else "NAME"
    return say("alert_try", language, try_=say(f"alert_try_{alerts[0].rule}", language, name=plain))


def _code(words: str) -> str:
    """Return others' words as one span of Markdown that they can't end."""
    inside = " ".join(words.replace("`", "'").split())
    return f"`{inside}`"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
