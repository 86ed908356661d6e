"""Shows "typing": a ticket for each user, kept for a day. Nothing of it is promised, and nothing of it fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bridges.weixin.errors import IlinkError

if TYPE_CHECKING:
    from bridges.weixin.api import IlinkApi
    from bridges.weixin.credentials import Credentials
    from clawd.ids import Clock

log = logging.getLogger(__name__)

_TICKET_S: Final = 86400.0
_FIRST_PAUSE_S: Final = 2.0
_LAST_PAUSE_S: Final = 3600.0
_MAX_USERS: Final = 100


@dataclass(slots=True)
class _Ticket:
    value: str = ""
    until: float = 0.0
    failures: int = 0
    pause_until: float = 0.0


class Typing:
    """Shows that an answer is being made."""

    def __init__(self, name: str, api: IlinkApi, clock: Clock) -> None:
        self._name = name
        self._api = api
        self._clock = clock
        self._tickets: dict[str, _Ticket] = {}

    async def show(self, login: Credentials, user: str, context_token: str) -> None:
        """Show it for some seconds; after failures it rests for a while."""
        now = self._clock.monotonic()
        ticket = self._tickets.setdefault(user, _Ticket())
        if now < ticket.pause_until:
            return
        try:
            if not ticket.value or now >= ticket.until:
                ticket.value = (await self._api.chat_config(login, user, context_token)).typing_ticket
                ticket.until = now + _TICKET_S
            if ticket.value:
                await self._api.typing(login, user, ticket.value)
            ticket.failures = 0
        except IlinkError as error:
            ticket.value = ""
            ticket.failures = min(ticket.failures + 1, 20)
            ticket.pause_until = now + min(_FIRST_PAUSE_S * 2.0 ** (ticket.failures - 1), _LAST_PAUSE_S)
            log.debug("typing_not_shown", extra={"bridge": self._name, "reason": str(error)})
        while len(self._tickets) > _MAX_USERS:
            del self._tickets[next(iter(self._tickets))]
