"""`GET /v1/conversations` and `GET /v1/conversations/ID/messages`: what a token's conversations hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.errors import NotFound
from clawd.gateway.messages import BRIDGE, read_conversation
from clawd.gateway.problems import RequestRefused
from clawd.gateway.shown import Telling
from clawd.jsonable import moment
from clawd.messages import Address

if TYPE_CHECKING:
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.token import Token
    from clawd.journal.reading import ConversationView, Views
    from clawd.response import JsonObject

MAX_LIMIT: Final = 200
_LIMIT: Final = 50


class Conversations:
    """Shows conversations; a token sees those that are its own."""

    def __init__(self, views: Views, tokens: TokenStore) -> None:
        self._views = views
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [
            web.get("/v1/conversations", self.list_all),
            web.get("/v1/conversations/{id}/messages", self.messages),
        ]

    async def list_all(self, request: web.Request) -> web.Response:
        """Answer with the token's conversations, the latest first, `?limit=` of them."""
        token = self._tokens.require(request.headers, "chat", "read")
        own = str(Address(bridge=BRIDGE, account=token.name, chat=token.conversations))
        found = await self._views.conversations(limit=read_limit(request), prefix=own)
        return web.json_response({"conversations": [_shown(view) for view in found]})

    async def messages(self, request: web.Request) -> web.Response:
        """Answer with what follows `?after=CURSOR`, oldest first; without one with the newest, `?limit=` of them.

        The lines are the frames `message` and `done`. Empty for a conversation that has none.
        """
        token = self._tokens.require(request.headers, "chat", "read")
        address = _address(token, request.match_info["id"])
        after = request.query.get("after", "")
        try:
            page = await self._views.entries(address, after=after, limit=read_limit(request))
        except NotFound as error:
            raise RequestRefused(400, error.what, code="bad_cursor", remedy=error.remedy) from error
        telling = Telling(address.chat, after)
        frames = [telling.frame_of(entry) for entry in page.entries]
        return web.json_response({"messages": frames, "cursor": page.cursor or None})


def _shown(view: ConversationView) -> JsonObject:
    return {
        "id": view.address.chat,
        "turns": view.turns,
        "open_turns": view.open_turns,
        "last_at": moment(view.last_at) if view.last_at is not None else None,
        "last_text": view.last_text,
    }


def _address(token: Token, name: str) -> Address:
    nothing = RequestRefused(404, "no conversation of this name")
    try:
        named = read_conversation(name)
    except RequestRefused:
        raise nothing from None
    if named is None or not token.may_name(named):
        raise nothing  # that it exists is nobody else's business
    return Address(bridge=BRIDGE, account=token.name, chat=named)


def read_limit(request: web.Request) -> int:
    """Return how many lines of a list are asked for; raises RequestRefused (400)."""
    text = request.query.get("limit", str(_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT):
        raise RequestRefused(400, f"limit has to be a whole number from 1 to {MAX_LIMIT}")
    return int(text)
