"""Handlers for the gateway's tokens."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, get_args

from aiohttp import web

from clawd.config.schema import CONVERSATION_PREFIX, NAME, REQUEST_RATE, TokenScope
from clawd.control.answers import BadRequest, answer, body_of, optional_text, text_field
from clawd.control.protocol import TokenRequest

if TYPE_CHECKING:
    from clawd.control.services import ControlServices
    from clawd.response import JsonObject

_MAX_DAY: Final = 10**9


class Tokens:
    """Lists, makes and revokes tokens."""

    def __init__(self, services: ControlServices) -> None:
        self._services = services

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the table of what is done here."""
        return [
            web.get(f"{prefix}/tokens", self.list),
            web.post(f"{prefix}/tokens/create", self.create),
            web.post(f"{prefix}/tokens/revoke", self.revoke),
        ]

    async def list(self, _request: web.Request) -> web.Response:
        return answer({"tokens": self._services.operations.tokens()})

    async def create(self, request: web.Request) -> web.Response:
        wanted = read_token(await body_of(request), self._services.clock.now())
        return answer({"token": await self._services.operations.create_token(wanted)})

    async def revoke(self, request: web.Request) -> web.Response:
        await self._services.operations.revoke_token(text_field(await body_of(request), "name"))
        return answer({})


def read_token(body: JsonObject, now: datetime) -> TokenRequest:
    """Return what the body asks for; raises BadRequest."""
    scopes = _scopes(body)
    conversations = (
        _matching(body, "conversations", CONVERSATION_PREFIX, "letters, digits and _ . : @ + = ~ -") or ""
    )
    if conversations and "admin" in scopes:
        raise BadRequest(
            "a token with the scope admin sees every conversation",
            why=f"a prefix was asked for: {conversations}",
            remedy="use the scopes chat and read",
        )
    return TokenRequest(
        name=_matching(body, "name", NAME, "letters, digits and _ . -, a letter or digit first")
        or text_field(body, "name"),
        scopes=scopes,
        conversations=conversations,
        expires_at=_moment(body, now),
        rate=_matching(body, "rate", REQUEST_RATE, "requests in a span, such as 60/min"),
        day=_count(body, "day"),
    )


def _scopes(body: JsonObject) -> tuple[TokenScope, ...]:
    known: tuple[TokenScope, ...] = get_args(TokenScope)
    given = body.get("scopes", ["chat"])
    if not isinstance(given, list) or not given:
        raise BadRequest("scopes is no list", why=f"known are {', '.join(known)}")
    for scope in given:
        if scope not in known:
            raise BadRequest(f"there is no scope {scope!r:.40}", why=f"known are {', '.join(known)}")
    return tuple(scope for scope in known if scope in given)


def _matching(body: JsonObject, key: str, pattern: str, form: str) -> str | None:
    value = optional_text(body, key) if body.get(key) != "" else None
    if value is not None and not re.search(pattern.replace("$", r"\Z"), value):
        raise BadRequest(f"{key} can't be used: {value!r:.80}", why=f"expected {form}")
    return value


def _moment(body: JsonObject, now: datetime) -> datetime | None:
    text = optional_text(body, "expires_at")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("expires_at is no time", why=str(error)) from error
    if moment.tzinfo is None or moment <= now:
        raise BadRequest("expires_at has to be a time to come, with its zone", why=f"got {text:.40}")
    return moment


def _count(body: JsonObject, key: str) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_DAY:
        raise BadRequest(f"{key} is no number from 1", why=f"got {value!r:.40}")
    return value
