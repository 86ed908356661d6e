"""`POST /v1/approvals/ID`: the word of a client on what one of its turns waits to do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from clawd.gateway.bodies import BODY_TIMEOUT_S, read_json
from clawd.gateway.messages import BRIDGE, sender_of
from clawd.gateway.problems import RequestRefused
from clawd.gateway.requests import ApprovalBody
from clawd.gateway.turns import own_turn
from clawd.gateway.validation import validate
from clawd.ids import parse_question_id
from clawd.messages import Address, InboundControl, MessageId, Refused, Replied

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.bridge import Inbox
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.token import Token
    from clawd.ids import Clock
    from clawd.journal.base import OpenQuestion
    from clawd.journal.reading import Views
    from clawd.response import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a client says to a question, checked."""

    kind: Literal["approve", "deny"]
    always: str | None = None  # as `InboundControl.always`
    sender: str | None = None


class Approvals:
    """Takes answers.

    Args:
        max_body_bytes: Asked for each request, as it may change with a reload.
    """

    def __init__(
        self,
        inbox: Inbox,
        views: Views,
        tokens: TokenStore,
        clock: Clock,
        *,
        max_body_bytes: Callable[[], int],
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._inbox = inbox
        self._views = views
        self._tokens = tokens
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [web.post("/v1/approvals/{id}", self.answer)]

    async def answer(self, request: web.Request) -> web.Response:
        """Answer 200 once the word is committed, 409 when the question is no longer open."""
        token = self._tokens.require(request.headers, "chat")
        _, body = await read_json(request, self._max_body_bytes(), timeout_s=self._body_timeout_s)
        word = read_word(body)
        identifier = request.match_info["id"]
        text = await self.say(token, identifier, word)
        return web.json_response({"id": identifier, "answer": word.kind, "text": text})

    async def say(self, token: Token, identifier: str, word: Word, *, conversation: str = "") -> str:
        """Commit a word on a question; return what the client is told.

        Args:
            token: Who says it.
            identifier: The question's id, as the client gave it.
            word: What is said.
            conversation: Where the question has to stand; empty for anywhere.

        Raises:
            RequestRefused: 404 for what is none of the token's questions, 409 when it is no longer open, 403
                for who may not answer.
        """
        question = await self._open(identifier, token)
        if conversation and question.conversation.chat != conversation:
            raise _unknown()
        control = InboundControl(
            id=MessageId(f"{BRIDGE}:{token.name}:answer:{secrets.token_hex(16)}"),
            # Where the word comes from, not where the turn is: rights are those of the one who answers.
            address=Address(bridge=BRIDGE, account=token.name, chat=question.conversation.chat),
            sender=sender_of(token, word.sender),
            kind=word.kind,
            question=question.id,
            always=word.always,
            sent_at=self._clock.now(),
        )
        (result,) = await self._inbox.accept([control])
        if isinstance(result, Refused) or (isinstance(result, Replied) and result.nothing):
            await self._open(question.id, token)  # another answer, or the deadline, was quicker
            raise RequestRefused(403, "this sender may not answer the question")
        return result.text if isinstance(result, Replied) else ""

    async def _open(self, identifier: str, token: Token) -> OpenQuestion:
        named = parse_question_id(identifier)
        if named is None:
            raise _unknown()
        view = await own_turn(self._views, named[0], token)
        for question in await self._views.questions(address=view.conversation):
            if question.id == identifier:
                return question
        raise RequestRefused(409, "this question is no longer open")


def _unknown() -> RequestRefused:
    return RequestRefused(404, "no question of this id")


def read_word(body: JsonObject) -> Word:
    """Return what the body says; raises RequestRefused (400) for anything else."""
    said = validate(ApprovalBody, body)
    return Word(kind=said.answer, always=said.always, sender=said.sender)
