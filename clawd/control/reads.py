"""Handlers that change nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, get_args

from aiohttp import web

from clawd.control.answers import BadRequest, answer, number_query
from clawd.control.naming import DEFAULT_CONVERSATION, address_named
from clawd.control.stream import ConversationStream
from clawd.control.waiting import Awaited, turn_after
from clawd.errors import NotFound
from clawd.ids import TurnId, parse_turn_id
from clawd.journal.base import TurnState
from clawd.journal.spend import MOST_DAYS, USAGE_BY

if TYPE_CHECKING:
    from clawd.control.services import ControlServices
    from clawd.control.waiting import OpenRequests
    from clawd.journal.spend import UsageBy
    from clawd.messages import Address

MAX_LIMIT = 1000
MAX_WAIT_S = 600.0

ACCOUNT = web.RequestKey("account", str)
"""Who asks: a uid, or a name that is none; the server sets it before any handler runs."""


def turn_in(request: web.Request) -> TurnId:
    """Return the turn that the path names; raises NotFound when that is no turn's id."""
    text = request.match_info["id"]
    if parse_turn_id(text) is None:
        raise NotFound(f"there is no turn {text!r:.80}", remedy="clawd turns list")
    return TurnId(text)


class Reads:
    """Answers questions from the journal's views and the daemon's state."""

    def __init__(self, services: ControlServices, requests: OpenRequests) -> None:
        self._services = services
        self._requests = requests

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the table of what is answered here."""
        return [
            web.get(f"{prefix}/status", self.status),
            web.get(f"{prefix}/turns", self.turns),
            web.get(f"{prefix}/turns/{{id}}", self.turn),
            web.get(f"{prefix}/conversations", self.conversations),
            web.get(f"{prefix}/entries", self.entries),
            web.get(f"{prefix}/stream", self.stream),
            web.get(f"{prefix}/trace/{{id}}", self.trace),
            web.get(f"{prefix}/dead", self.dead),
            web.get(f"{prefix}/pairings", self.pairings),
            web.get(f"{prefix}/bridges", self.bridges),
            web.get(f"{prefix}/models", self.models),
            web.get(f"{prefix}/usage", self.usage),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        return answer(await self._services.operations.status())

    async def turn(self, request: web.Request) -> web.Response:
        wait_s = number_query(request, "wait", 0, MAX_WAIT_S)
        view = await turn_after(
            self._services,
            self._requests,
            turn_in(request),
            wait_s,
            lambda: _connected(request),
            until=_awaited(request),
        )
        return answer(view)

    async def turns(self, request: web.Request) -> web.Response:
        name = request.query.get("conversation")
        views = await self._services.views.turns(
            address=None if not name else address_named(name, request[ACCOUNT]),
            state=_state(request),
            limit=limit_of(request, 50),
        )
        return answer({"turns": views})

    async def conversations(self, request: web.Request) -> web.Response:
        views = await self._services.views.conversations(limit=limit_of(request, 50))
        return answer({"conversations": views})

    async def entries(self, request: web.Request) -> web.Response:
        page = await self._services.views.entries(
            _conversation(request), after=request.query.get("after", ""), limit=limit_of(request, 200)
        )
        return answer(page)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        address = _conversation(request)
        with self._requests.one():
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            stream = ConversationStream(
                self._services, self._requests, address, request.query.get("after", ""), response.write
            )
            with contextlib.suppress(ConnectionResetError):  # the client left: so most streams end
                await stream.run()
            return response

    async def trace(self, request: web.Request) -> web.Response:
        return answer(await self._services.views.trace(request.match_info["id"]))

    async def dead(self, request: web.Request) -> web.Response:
        return answer({"dead": await self._services.views.dead(limit=limit_of(request, 100))})

    async def pairings(self, _request: web.Request) -> web.Response:
        operations = self._services.operations
        return answer({"pending": operations.pairings(), "principals": operations.principals()})

    async def bridges(self, _request: web.Request) -> web.Response:
        return answer({"bridges": self._services.operations.bridges()})

    async def models(self, _request: web.Request) -> web.Response:
        services = self._services
        return answer(
            {
                "models": services.operations.models(),
                "names": list(services.names()),
                "prefixes": list(services.prefixes()),
            }
        )

    async def usage(self, request: web.Request) -> web.Response:
        days = int(number_query(request, "days", 7, MOST_DAYS))
        if days < 1:
            raise BadRequest("days is below 1", why=f"1 to {MOST_DAYS} are taken; 1 is today alone")
        return answer(await self._services.operations.usage(days=days, by=_usage_by(request)))


def _conversation(request: web.Request) -> Address:
    return address_named(request.query.get("conversation", DEFAULT_CONVERSATION), request[ACCOUNT])


def limit_of(request: web.Request, default: int) -> int:
    """Return how many rows the query asks for; raises BadRequest below 1."""
    limit = int(number_query(request, "limit", default, MAX_LIMIT))
    if limit < 1:
        raise BadRequest("limit is below 1", why=f"1 to {MAX_LIMIT} are taken")
    return limit


def _state(request: web.Request) -> TurnState | None:
    text = request.query.get("state")
    states: tuple[TurnState, ...] = get_args(TurnState)
    if text is None:
        return None
    for state in states:
        if state == text:
            return state
    raise BadRequest(f"there is no state {text!r:.40}", why=f"states: {', '.join(states)}")


def _usage_by(request: web.Request) -> UsageBy:
    text = request.query.get("by", "day")
    for by in USAGE_BY:
        if by == text:
            return by
    raise BadRequest(f"use is not told by {text!r:.40}", why=f"known are {', '.join(USAGE_BY)}")


def _awaited(request: web.Request) -> Awaited:
    text = request.query.get("wait_for", "end")
    for awaited in get_args(Awaited):
        if awaited == text:
            found: Awaited = awaited
            return found
    raise BadRequest(f"nothing called {text!r:.40} can be waited for", why="end or question")


def _connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
