"""Alerts as people read them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from clawd.alerts.base import RULES
from clawd.alerts.phrases import headline, limit
from clawd.moments import length
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from clawd.alerts.base import Alert, RuleName
    from clawd.alerts.cases import Telling

MAX_LINES: Final = 10
"""Alerts that a message lists; how many more there are is said."""

_MAX_DETAIL: Final = 200
_STEP: Final = re.compile("; |；")
_PLAIN: Final = re.compile(r"[\w.-]+")  # a name that a command line takes as it is


def message_of(
    alerts: Sequence[Alert], telling: Telling, language: str | None, *, owner: bool = False
) -> str:
    """Return what a chat is told of alerts that begin, or end, together.

    Args:
        alerts: At least one.
        telling: `begin` or `end`.
        language: To write in.
        owner: Whether who reads it may silence them from there; then how is said.
    """
    alerts = sorted(alerts, key=lambda alert: (alert.severity != "critical", RULES.index(alert.rule)))
    key = "alert_begins" if telling == "begin" else "alert_ends"
    severity = say(f"alert_{alerts[0].severity}", language)
    titles = dict.fromkeys(title_of(alert.rule, language) for alert in alerts)
    lines = [say(key, language, severity=severity, title=say("alert_join", language).join(titles))]
    lines += [f"- {line_of(alert, telling, language, quote=_code)}" for alert in alerts[:MAX_LINES]]
    if len(alerts) > MAX_LINES:
        lines.append("- " + say("alert_more", language, count=len(alerts) - MAX_LINES))
    if telling == "begin":
        lines.append("")  # else Markdown takes it for a part of the list's last entry
        lines.append(advice(alerts, language))
        if owner:
            lines += ["", _quiet(alerts, language)]
    return "\n".join(lines)


def _quiet(alerts: Sequence[Alert], language: str | None) -> str:
    """Return how to silence these, and nothing else."""
    if len({alert.rule for alert in alerts}) > 1:
        return say("alert_quiet_some", language)
    labels = {alert.label for alert in alerts}
    label = labels.pop() if len(labels) == 1 else ""
    what = f"{alerts[0].rule}={label}" if label else alerts[0].rule
    return say("alert_quiet", language, what=what)


def title_of(rule: RuleName, language: str | None) -> str:
    """Return a rule's alert in a few words."""
    return say(f"alert_title_{rule}", language)


def line_of(
    alert: Alert, telling: Telling, language: str | None, *, quote: Callable[[str], str] = str
) -> str:
    """Return one alert: what is wrong, its number against the limit, and since when; of its end, how long it lasted.

    `quote` is applied to what others have chosen, such as names.
    """
    if telling == "begin" or alert.resolved_at is None:
        what = _wrong(alert, language, quote)
        when = say("alert_since", language, since=_moment(alert.began_at))
    else:
        what = quote(alert.label) if alert.label else ""
        time = length((alert.resolved_at - alert.began_at).total_seconds())
        when = say("alert_lasted", language, since=_moment(alert.began_at), time=time)
    return f"{what}{say('alert_join', language)}{when}" if what else when


def _wrong(alert: Alert, language: str | None, quote: Callable[[str], str]) -> str:
    what = headline(alert.rule, alert.value, alert.label, language, quote=quote)
    if above := limit(alert.rule, alert.above):
        return say("alert_number", language, what=what, above=above)
    detail = quote(alert.detail[:_MAX_DETAIL]) if alert.detail else ""
    return say("alert_detail", language, what=what, detail=detail) if detail else what


def advice(alerts: Sequence[Alert], language: str | None) -> str:
    """Return what to try, each thing once, with the name of what a rule's alerts are about where that is one."""
    parts: dict[str, None] = {}
    for rule in dict.fromkeys(alert.rule for alert in alerts):
        names = {alert.label for alert in alerts if alert.rule == rule}
        name = names.pop() if len(names) == 1 else ""
        plain = name if _PLAIN.fullmatch(name) else "NAME"
        parts |= dict.fromkeys(_STEP.split(say(f"alert_try_{rule}", language, name=plain)))
    return say("alert_try", language, try_="; ".join(parts))


def _code(words: str) -> str:
    """Return others' words as one span of Markdown that they can't end."""
    inside = " ".join(words.replace("`", "'").split())
    return f"`{inside}`"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
