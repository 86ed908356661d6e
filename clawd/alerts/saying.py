"""What owners are told of alerts in chats: `/alerts`, and a line of `/status`."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.alerts.naming import check_label, means_silence, rule_named
from clawd.alerts.phrases import headline, lasted
from clawd.alerts.silences import MAX_SILENCES, NoSilence, TooManySilences, covers
from clawd.errors import JournalError
from clawd.moments import BadSpan, span
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from clawd.alerts.base import Alert, AlertDesk, RuleName, Silence
    from clawd.ids import Clock

log = logging.getLogger(__name__)

_DEFAULT: Final = timedelta(hours=1)
_LONGEST: Final = timedelta(days=31)
_MOST: Final = 20  # lines of a list in a chat
_LINE: Final = 3  # alerts in the line of a status
_SAME: Final = timedelta(minutes=1)

_Which = tuple["RuleName | None", str | None]


class AlertsInChat:
    """Answers owners. Nobody else may reach it.

    Args:
        desk: The alerts.
        clock: For how long something has lasted.
        models: Return the names of those that are configured.
        bridges: The same.
    """

    def __init__(
        self,
        desk: Callable[[], AlertDesk],
        clock: Clock,
        *,
        models: Callable[[], Collection[str]],
        bridges: Callable[[], Collection[str]],
    ) -> None:
        self._desk = desk
        self._clock = clock
        self._models = models
        self._bridges = bridges

    def line(self, language: str | None) -> str:
        """Return what fires as one line, empty when nothing does."""
        alerts = sorted(self._firing(), key=lambda alert: bool(alert.silenced))
        if not alerts:
            return ""
        now = self._clock.now()
        told = [alert_line(alert, now, language) for alert in alerts[:_LINE]]
        if len(alerts) > len(told):
            told.append(say("alerts_more", language, count=len(alerts) - len(told)))
        return say("alerts_line", language, count=len(alerts), alerts=say("alert_join", language).join(told))

    async def answer(self, request: str, language: str | None, *, by: str) -> str:
        """Return the answer to `/alerts REQUEST`.

        Args:
            request: What stood behind the command: nothing, `silence [NUMBER|RULE[=LABEL]] [SPAN]`, or
                `end [NUMBER|RULE[=LABEL]]`.
            language: To answer in.
            by: Who asks, noted with a silence.
        """
        word, _, rest = request.partition(" ")
        if not word:
            return await self._list(language)
        try:
            match word.lower():
                case "silence":
                    return await self._silence(rest.strip(), language, by)
                case "end":
                    return await self._end(rest.strip(), language)
                case _:
                    return say("alerts_usage", language)
        except TooManySilences:
            return say("alerts_full", language, most=MAX_SILENCES)
        except JournalError as error:
            log.warning("alerts_not_silenced", extra={"error": str(error)})
            return say("alerts_unwritten", language)

    async def _list(self, language: str | None) -> str:
        now, silences = self._clock.now(), self._desk().report().silences
        alerts = self._firing()
        numbered = [
            f"{number}. {alert_line(alert, now, language)}"
            for number, alert in enumerate(alerts[:_MOST], start=1)
        ]
        beside = [
            say("alerts_silenced", language, what=what_of(silence, language), until=_moment(silence.until))
            for silence in silences[:_MOST]
        ]
        beside += [
            say("alerts_lost", language, target=each.target, why=each.why)
            for each in (await self._desk().reach()).trouble[:_MOST]
        ]
        if alerts:
            beside.append(say("alerts_usage", language))
        elif silences:
            beside.append(say("alerts_end", language, what=what_of(silences[0], language)))
        # Behind an empty line, else Markdown takes it for a part of the list's last entry.
        told = [*numbered, ""] if numbered else [say("alerts_none", language)]
        return "\n".join([*told, *beside])

    async def _silence(self, wanted: str, language: str | None, by: str) -> str:
        which, lasting = _cut(wanted)
        if lasting > _LONGEST:
            return say("alerts_too_long", language, days=_LONGEST.days)
        rule, label = None, None
        if which:
            found = self._which(which)
            if isinstance(found, str):
                if rule_named(which.partition(" ")[0])[0] is not None:  # what stands behind it is no span
                    return say("alerts_usage", language)
                return say("alerts_unknown", language, name=which, near=found)
            rule, label = found
        until = self._clock.now() + lasting
        silence = self._same(rule, label, until)
        if silence is None:
            silence = await self._desk().silence(rule=rule, label=label, until=until, why="", by=by)
        return say("alerts_silenced", language, what=what_of(silence, language), until=_moment(silence.until))

    async def _end(self, wanted: str, language: str | None) -> str:
        silences = self._desk().report().silences
        if not silences:
            return say("alerts_no_silence", language)
        found = self._meant(wanted, silences, language) if wanted else silences
        if not found:
            names = ", ".join(what_of(silence, language) for silence in silences[:_MOST])
            return say("alerts_not_silenced", language, name=wanted, silences=names)
        for silence in found:
            with suppress(NoSilence):  # it ended by itself meanwhile
                await self._desk().end_silence(silence.id)
        return "\n".join(say("alerts_ended", language, what=what_of(each, language)) for each in found)

    def _meant(self, wanted: str, silences: Sequence[Silence], language: str | None) -> Sequence[Silence]:
        """Return the silences that a number of the list, a rule, a rule with a label, or their own words mean."""
        if wanted.isdecimal():
            number, alerts = int(wanted), self._firing()
            alert = alerts[number - 1] if 1 <= number <= len(alerts) else None
            return [each for each in silences if alert is not None and covers(each, alert.rule, alert.label)]
        return [
            each
            for each in silences
            if wanted in (each.id, what_of(each, language)) or means_silence(wanted, each.rule, each.label)
        ]

    def _same(self, rule: RuleName | None, label: str | None, until: datetime) -> Silence | None:
        """Return the silence that does this already: the same message may come twice."""
        for silence in self._desk().report().silences:
            if (silence.rule, silence.label) == (rule, label) and abs(silence.until - until) <= _SAME:
                return silence
        return None

    def _which(self, text: str) -> _Which | str:
        """Return the rule and label that a number of the list, or a name, means; else what may be meant."""
        if text.isdecimal():
            alerts = self._firing()
            if not 1 <= int(text) <= len(alerts):
                return "/alerts"
            alert = alerts[int(text) - 1]
            return alert.rule, alert.label or None
        name, _, label = text.partition("=")
        rule, near = rule_named(name)
        if rule is None:
            return near or "/alerts"
        label = label.strip()
        if not label:
            return rule, None
        problem = check_label(rule, label, models=self._models(), bridges=self._bridges())
        return (rule, label) if problem is None else problem.near or rule

    def _firing(self) -> Sequence[Alert]:
        return firing(self._desk().report().alerts)


def firing(alerts: Sequence[Alert]) -> list[Alert]:
    """Return the alerts that fire: the gravest first, of these the oldest.

    A silence moves none of them: people silence one after the other by the numbers of a list that they were told.
    """
    found = [alert for alert in alerts if alert.state == "firing"]
    return sorted(found, key=lambda alert: (alert.severity != "critical", alert.began_at))


def alert_line(alert: Alert, now: datetime, language: str | None) -> str:
    """Return an alert in a few words, such as `telegram is down for 5 min`."""
    what = headline(alert.rule, alert.value, alert.label, language)
    line = say("alerts_since", language, what=what, since=lasted((now - alert.began_at).total_seconds()))
    return f"{line}{say('alerts_quiet', language)}" if alert.silenced else line


def _cut(text: str) -> tuple[str, timedelta]:
    """Return what to silence, and for how long."""
    before, _, last = text.rpartition(" ")
    try:
        return before.strip(), span(last, remedy="2h")
    except BadSpan:
        return text, _DEFAULT


def what_of(silence: Silence, language: str | None) -> str:
    """Return what a silence is about, as people write it."""
    if silence.rule is None:
        return say("alerts_everything", language) if silence.label is None else silence.label
    return silence.rule if silence.label is None else f"{silence.rule}={silence.label}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
