"""The OpenAI-compatible endpoints: who is asked, and in which format the answer goes back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.gateway.bodies import BODY_TIMEOUT_S, read_json
from clawd.gateway.messages import check_key
from clawd.gateway.openai_agent import conversation_named
from clawd.gateway.openai_chat import Chunks, completion
from clawd.gateway.openai_chat_request import read_chat
from clawd.gateway.openai_errors import OpenAIRefused, bad_field
from clawd.gateway.openai_models import ModelList, unknown_model
from clawd.gateway.openai_passthrough import Passthrough
from clawd.gateway.openai_question import AGENT
from clawd.gateway.openai_responses import Response, ResponseEvents
from clawd.gateway.openai_responses_request import read_responses
from clawd.gateway.openai_streams import KEEPALIVE_S, Streams

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from clawd.gateway.auth import TokenStore
    from clawd.gateway.openai_agent import AgentDoor
    from clawd.gateway.openai_answers import Answer, Whole
    from clawd.gateway.openai_kept import KeptResponses
    from clawd.gateway.openai_models import Offered
    from clawd.gateway.openai_question import Question
    from clawd.gateway.token import Token
    from clawd.ids import Clock
    from clawd.response import JsonObject

ANEW: Final = "\n\n[The answer broke off here and begins anew.]\n\n"
"""Stands in a stream where a text begins anew that does not say what was sent."""


class OpenAIDoor:
    """Chat completions and responses, over the agent and over models.

    Args:
        agent: Takes questions to the agent.
        kept: Answers about those that were asked.
        offered: The models in force, asked for each request.
        max_body_bytes: Asked for each request.
        keepalive_s: The longest silence of a stream.
    """

    def __init__(
        self,
        agent: AgentDoor,
        kept: KeptResponses,
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
        self.kept: Final = kept
        self.models: Final = ModelList(offered, tokens)
        self._streams = Streams(keepalive_s)

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return the tasks of the answers under way."""
        return self._streams.tasks()

    def close(self) -> None:
        """End what is under way; its clients are told."""
        self._streams.close()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /v1/chat/completions`."""
        question, answer = await self._asked(request, read_chat)
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
        return await self._streams.stream(request, answer, frames, at_once=_is_accepted(question))

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /v1/responses`."""
        question, answer = await self._asked(request, read_responses)
        response = Response(
            id=answer.id,
            model=question.model,
            created=int(self._clock.now().timestamp()),
            stored=_is_accepted(question),
            question=question,
        )
        if not question.stream:
            return await self._streams.whole(request, answer, response.whole)
        frames = ResponseEvents(response, note=ANEW, buffered=question.schema is not None)
        return await self._streams.stream(request, answer, frames, at_once=_is_accepted(question))

    async def not_yet(self, request: web.Request) -> web.StreamResponse:
        """Answer 501: there are no sounds and pictures yet."""
        self._tokens.require(request.headers, "chat")
        raise OpenAIRefused(
            501, f"{request.path} is not implemented in this version", code="not_implemented", again=False
        )

    async def _asked(
        self, request: web.Request, read: Callable[[JsonObject], Question]
    ) -> tuple[Question, Answer]:
        """Return what a request asks, and the answer under way."""
        token = self._tokens.require(request.headers, "chat")
        check_key(request.headers.getall("Idempotency-Key", []))  # models have no use for it
        raw, body = await read_json(request, self._max_body_bytes(), timeout_s=self._body_timeout_s)
        question = read(body)
        return question, await self._answer(question, raw, request, token)

    async def _answer(self, question: Question, raw: bytes, request: web.Request, token: Token) -> Answer:
        if question.model == AGENT:
            return await self._agent.ask(question, raw, request.headers, token)
        offered = self._offered()
        if offered.kind_of(question.model) is None:
            raise unknown_model(question.model)
        if question.previous is not None:
            raise bad_field(
                "previous_response_id",
                "answers of models are not kept",
                code="unsupported_parameter",
                remedy="send the earlier items, or ask clawd",
            )
        named = conversation_named(question, request.headers, token)
        return Passthrough(offered, replace(question, conversation=named), token, self._clock)


def _is_accepted(question: Question) -> bool:
    """Whether an answer under way is a turn: committed, so that it will be answered and can be fetched."""
    return question.model == AGENT
