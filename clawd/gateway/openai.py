"""The OpenAI-compatible endpoints: who is asked, and in which format the answer goes back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.gateway.bodies import BODY_TIMEOUT_S, read_json
from clawd.gateway.openai_agent import CONVERSATION_HEADER
from clawd.gateway.openai_agent_request import check_conversation
from clawd.gateway.openai_chat import Chunks, completion
from clawd.gateway.openai_chat_request import read_chat
from clawd.gateway.openai_errors import OpenAIRefused
from clawd.gateway.openai_models import ModelList, unknown_model
from clawd.gateway.openai_passthrough import Passthrough
from clawd.gateway.openai_question import AGENT
from clawd.gateway.openai_streams import KEEPALIVE_S, Streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.gateway.auth import Token, TokenStore
    from clawd.gateway.openai_agent import AgentDoor
    from clawd.gateway.openai_answers import Answer, Whole
    from clawd.gateway.openai_models import Offered
    from clawd.gateway.openai_question import Question
    from clawd.ids import Clock
    from clawd.response import JsonObject

ANEW: Final = "\n\n[The answer broke off here and begins anew.]\n\n"
"""Stands in a stream where a text begins anew that does not say what was sent."""


class OpenAIDoor:
    """Chat completions, over the agent and over models.

    Args:
        agent: Takes questions to the agent.
        offered: The models in force, asked for each request.
        max_body_bytes: Asked for each request.
        keepalive_s: The longest silence of a stream.
    """

    def __init__(
        self,
        agent: AgentDoor,
        offered: Callable[[], Offered],
        tokens: TokenStore,
        clock: Clock,
        *,
        max_body_bytes: Callable[[], int],
        body_timeout_s: float = BODY_TIMEOUT_S,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self._agent = agent
        self._offered = offered
        self._tokens = tokens
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._list = ModelList(offered, tokens)
        self._streams = Streams(keepalive_s)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [
            *self._list.routes(),
            web.post("/v1/chat/completions", self.chat),
            web.route("*", "/v1/audio/{rest:.*}", self.not_yet),
            web.route("*", "/v1/images/{rest:.*}", self.not_yet),
        ]

    def close(self) -> None:
        """End what is under way; its clients are told."""
        self._streams.close()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /v1/chat/completions`."""
        token = self._tokens.require(request.headers, "chat")
        raw, body = await read_json(request, self._max_body_bytes(), timeout_s=self._body_timeout_s)
        question = read_chat(body)
        answer = await self._answer(question, raw, request, token)
        created = int(self._clock.now().timestamp())

        def complete(whole: Whole) -> JsonObject:
            return completion(whole, id_=answer.id, model=question.model, created=created)

        if not question.stream:
            return await self._streams.whole(request, answer, complete)
        frames = Chunks(
            id_=answer.id,
            model=question.model,
            created=created,
            usage=question.usage,
            note=ANEW,
            buffered=question.schema is not None,
        )
        accepted = question.model == AGENT  # committed: it will be answered
        return await self._streams.stream(request, answer, frames, at_once=accepted)

    async def not_yet(self, request: web.Request) -> web.StreamResponse:
        """Answer 501: sounds and pictures are not made here."""
        self._tokens.require(request.headers, "chat")
        raise OpenAIRefused(
            501, f"{request.path} is not implemented in this version", code="not_implemented", again=False
        )

    async def _answer(self, question: Question, raw: bytes, request: web.Request, token: Token) -> Answer:
        if question.model == AGENT:
            return await self._agent.ask(question, raw, request.headers, token)
        offered = self._offered()
        if offered.kind_of(question.model) is None:
            raise unknown_model(question.model)
        named = request.headers.get(CONVERSATION_HEADER)
        if named is not None:
            question = replace(question, conversation=check_conversation(named, CONVERSATION_HEADER))
        return Passthrough(offered, question, token, self._clock)
