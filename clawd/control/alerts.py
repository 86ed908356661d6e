"""Handlers about alerts: what fires, a test of who is told, and silences."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.alerts.base import RULES
from clawd.alerts.naming import check_label, rule_named
from clawd.control.answers import BadRequest, answer, body_of, optional_text, text_field, word_field
from clawd.control.naming import TERMINAL
from clawd.control.reads import ACCOUNT
from clawd.errors import NotPossible

if TYPE_CHECKING:
    from clawd.alerts.base import AlertDesk, RuleName
    from clawd.control.services import ControlServices
    from clawd.response import JsonObject

LONGEST_WHY: Final = 200
MOST_DAYS: Final = 366
"""A silence beyond that is a rule to be turned off in the configuration."""

TARGETS_EXAMPLE: Final = 'alerts: {targets: [{bridge: telegram, chat: 12345}, {url: "https://…"}]}'


class AlertRoutes:
    """Answers for the daemon's `AlertDesk`."""

    def __init__(self, services: ControlServices) -> None:
        self._services = services

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the table of what is answered here."""
        return [
            web.get(f"{prefix}/alerts", self.report),
            web.post(f"{prefix}/alerts/test", self.test),
            web.post(f"{prefix}/silences", self.silence),
            web.post(f"{prefix}/silences/end", self.end),
        ]

    async def report(self, _request: web.Request) -> web.Response:
        reach = await self._desk.reach()
        return answer(replace(self._desk.report(), trouble=reach.trouble, nobody_told=reach.nobody))

    async def test(self, _request: web.Request) -> web.Response:
        if not self._desk.report().targets:
            status = await self._services.operations.status()
            raise NotPossible(
                "nobody is told of alerts",
                where=status.config_path or "no configuration file",
                why="alerts.targets names nobody",
                remedy=f"write {TARGETS_EXAMPLE} into the configuration, then clawd reload",
            )
        return answer({"deliveries": list(await self._desk.test())})

    async def silence(self, request: web.Request) -> web.Response:
        body, account = await body_of(request), request[ACCOUNT]
        rule = self._rule_in(body)
        label = self._label_in(body, rule)
        silence = await self._desk.silence(
            rule=rule,
            label=label,
            until=self._until_in(body),
            why=word_field(body, "why", longest=LONGEST_WHY) or "",
            by=f"{TERMINAL}:{account}",
        )
        return answer(silence)

    async def end(self, request: web.Request) -> web.Response:
        await self._desk.end_silence(text_field(await body_of(request), "id").strip())
        return answer({})

    @property
    def _desk(self) -> AlertDesk:
        return self._services.alerts

    def _rule_in(self, body: JsonObject) -> RuleName | None:
        name = optional_text(body, "rule")
        if name is None:
            return None
        rule, near = rule_named(name)
        if rule is None:
            raise BadRequest(
                f"there is no rule {name!r:.60}",
                why=f"rules: {', '.join(RULES)}",
                remedy=f"did you mean {near}?" if near else "clawd alerts list --all",
            )
        return rule

    def _label_in(self, body: JsonObject, rule: RuleName | None) -> str | None:
        label = optional_text(body, "label")
        if label is None or rule is None:
            return label
        operations = self._services.operations
        known = check_label(
            rule,
            label,
            models=[model.name for model in operations.models()],
            bridges=[bridge.name for bridge in operations.bridges()],
        )
        if known is not None:
            raise BadRequest(known.what, why=known.why, remedy=known.remedy)
        return label

    def _until_in(self, body: JsonObject) -> datetime:
        text = text_field(body, "until")
        try:
            until = datetime.fromisoformat(text)
        except ValueError as error:
            raise BadRequest("until is no moment", why=str(error)) from error
        if until.tzinfo is None:
            raise BadRequest(
                "until says no time zone", why=f"got {text!r:.60}", remedy="2026-01-31T18:00:00Z"
            )
        now = self._services.clock.now()
        if until <= now:
            raise BadRequest("until has passed already", why=f"it is {now:%Y-%m-%d %H:%M} UTC")
        if until > now + timedelta(days=MOST_DAYS):
            raise BadRequest(
                "a silence can't be that long",
                why=f"at most {MOST_DAYS} days",
                remedy="turn the rule off in the configuration: alerts.rules",
            )
        return until
