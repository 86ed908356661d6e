"""What is answered at once, without a turn: /status, /usage, /help and /alerts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from clawd.commands import Alerts
from clawd.texts import say

if TYPE_CHECKING:
    from clawd.commands import Query
    from clawd.messages import InboundMessage

StatusText = Callable[[str | None], Awaitable[str]]
"""Makes the answer to /status in a language."""


class UsageText(Protocol):
    """Makes the answer to /usage."""

    def __call__(self, message: InboundMessage, language: str | None, *, whole: bool) -> Awaitable[str]:
        """Return what the sender and the conversation used today; `whole`: what everybody did."""
        ...


class AlertsText(Protocol):
    """Makes what owners are told of alerts."""

    def line(self, language: str | None) -> str:
        """Return what fires as one line, empty when nothing does."""
        ...

    def answer(self, request: str, language: str | None, *, by: str) -> Awaitable[str]:
        """Return the answer to /alerts with what stood behind it."""
        ...


class Queries:
    """The answers, in the language of who asks; owners are told more."""

    def __init__(
        self,
        *,
        status: StatusText,
        usage: UsageText,
        alerts: AlertsText,
        prefixes: Callable[[], Mapping[str, str]],
    ) -> None:
        self._status = status
        self._usage = usage
        self._alerts = alerts
        self._prefixes = prefixes

    async def answer(
        self, query: Query | Alerts, message: InboundMessage, language: str | None, *, owner: bool
    ) -> str:
        """Return the answer to a question about clawd itself."""
        if isinstance(query, Alerts):
            if not owner:
                return say("alerts_owners_only", language)
            return await self._alerts.answer(query.request, language, by=message.user)
        match query.what:
            case "status":
                alerts = self._alerts.line(language) if owner else ""
                return "\n".join(filter(None, (await self._status(language), alerts)))
            case "usage":
                return await self._usage(message, language, whole=owner)
            case "help":
                return "\n".join(self._help(language, owner=owner))
            case "welcome":
                return say("welcome", language)

    def _help(self, language: str | None, *, owner: bool) -> list[str]:
        """Return the list of commands, with what routes listen to."""
        return [
            say("help", language),
            *([say("help_owner", language)] if owner else []),
            *(
                say("help_prefix", language, prefix=prefix, route=route)
                for prefix, route in self._prefixes().items()
            ),
        ]
