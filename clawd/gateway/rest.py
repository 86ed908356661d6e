"""`POST /v1/messages`, `GET /v1/messages/ID` and its cancellation: the REST door to the agent."""

from __future__ import annotations

import math
import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.gateway.bodies import BODY_TIMEOUT_S, read_json
from clawd.gateway.messages import (
    BRIDGE,
    check_key,
    describe,
    read_submission,
    sender_of,
    to_inbound,
    told_of,
)
from clawd.gateway.problems import RequestRefused
from clawd.gateway.remote import TOKEN
from clawd.gateway.turns import own_turn
from clawd.gateway.waits import is_over
from clawd.messages import Accepted, Address, InboundControl, MessageId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from clawd.bridge import Inbox
    from clawd.config.callbacks import CallbacksConfig
    from clawd.gateway.attachments import Attachments
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.waits import Waits
    from clawd.ids import Clock
    from clawd.journal.base import OpenQuestion
    from clawd.journal.reading import TurnView, Views
    from clawd.messages import AcceptResult, InboundMessage

MAX_WAIT_S: Final = 60.0
_SECONDS: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII)  # as JSON


class Messages:
    """Takes messages and shows what became of them.

    Args:
        models: The names of models and routes that a message may ask for.
        attachments: Keep what is sent along.
        max_body_bytes: Asked for each request, as it may change with a reload.
        callbacks: Which `callback_url` a message may carry, asked likewise; None: none.
    """

    def __init__(
        self,
        inbox: Inbox,
        views: Views,
        waits: Waits,
        tokens: TokenStore,
        clock: Clock,
        *,
        models: Callable[[], Collection[str]],
        attachments: Attachments,
        max_body_bytes: Callable[[], int],
        callbacks: Callable[[], CallbacksConfig | None] = lambda: None,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._attachments = attachments
        self._inbox = inbox
        self._views = views
        self._waits = waits
        self._tokens = tokens
        self._clock = clock
        self._models = models
        self._max_body_bytes = max_body_bytes
        self._callbacks = callbacks
        self._body_timeout_s = body_timeout_s

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [
            web.post("/v1/messages", self.submit),
            web.get("/v1/messages/{id}", self.show),
            web.post("/v1/messages/{id}/cancel", self.cancel),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """Answer 202 once the message is committed, 200 for a repeat under the same key."""
        token = self._tokens.require(request.headers, "chat", found=request.get(TOKEN))
        key = check_key(request.headers.getall("Idempotency-Key", []))
        raw, body = await read_json(request, self._max_body_bytes(), timeout_s=self._body_timeout_s)
        submission = read_submission(body, self._models(), self._callbacks())
        submission = replace(submission, parts=await self._attachments.stored(submission.parts, token))
        message = to_inbound(submission, raw, token=token, key=key, now=self._clock.now())
        (result,) = await self._inbox.accept([message])
        return _answer(message, result)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with the turn; with `?wait=SECONDS` as soon as it has ended, or after that time.

        With `&wait_for=question` also as soon as it waits for a person.
        """
        token = self._tokens.require(request.headers, "chat", "read")
        wait_s = _seconds(request.query.get("wait", "0"))
        awaited = request.query.get("wait_for", "end")
        if awaited not in ("end", "question"):
            raise RequestRefused(400, "wait_for has to be end or question")
        view = await own_turn(self._views, request.match_info["id"], token, to_read=True)
        view = await self._waits.turn(view, wait_s, or_asked=awaited == "question")
        question = await self._question(view)
        return web.json_response(describe(view, question, operator="admin" in token.scopes))

    async def cancel(self, request: web.Request) -> web.Response:
        """Answer 202 once the wish is committed, 200 when the turn has ended by then, 409 when it had before.

        With `?wait=SECONDS` the answer waits so long for the end.
        """
        token = self._tokens.require(request.headers, "chat")
        wait_s = _seconds(request.query.get("wait", "0"))
        view = await own_turn(self._views, request.match_info["id"], token)
        if is_over(view):
            raise RequestRefused(409, f"this message is {view.state}", code="turn_over")
        control = InboundControl(
            id=MessageId(f"{BRIDGE}:{token.name}:stop:{secrets.token_hex(16)}"),
            # Where the word comes from, not where the turn is: rights are those of the one who asks.
            address=Address(bridge=BRIDGE, account=token.name, chat=view.conversation.chat),
            sender=sender_of(token, None),
            kind="stop",
            turn=view.id,
            sent_at=self._clock.now(),
        )
        await self._inbox.accept([control])
        view = await self._waits.turn(await self._views.turn(view.id), wait_s)
        body = describe(view, operator="admin" in token.scopes)
        return web.json_response(body, status=200 if is_over(view) else 202)

    async def _question(self, view: TurnView) -> OpenQuestion | None:
        """Return what a waiting turn asks; None for others, and for one that was answered just now."""
        if view.state != "waiting":
            return None
        found = await self._views.questions(address=view.conversation)
        return next((question for question in found if question.turn == view.id), None)


def _answer(message: InboundMessage, result: AcceptResult) -> web.Response:
    body = told_of(message, result)
    if isinstance(result, Accepted):
        return web.json_response(body, status=202, headers={"Location": f"/v1/messages/{result.turn}"})
    return web.json_response(body)


def _seconds(text: str) -> float:
    seconds = float(text) if _SECONDS.fullmatch(text) else math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise RequestRefused(400, "wait has to be a number of seconds")
    return min(seconds, MAX_WAIT_S)
