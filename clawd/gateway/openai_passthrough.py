"""A model or a route asked directly: no turn and no journal, under the router's breakers, budgets and limits."""

from __future__ import annotations

import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, assert_never

from clawd.errors import ModelError
from clawd.gateway.messages import BRIDGE
from clawd.gateway.openai_answers import Anew, Piece, Whole
from clawd.gateway.openai_errors import OpenAIRefused, bad_field, model_refusal
from clawd.gateway.openai_stop import TextEnd
from clawd.media import is_stored
from clawd.messages import Address, Audio, File, Image
from clawd.models.base import Completed, ModelRequest, Progress, RequestTags, Switched, TextDelta, UserMessage
from clawd.models.windows import DEFAULT_ROUTE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.gateway.openai_answers import Event
    from clawd.gateway.openai_models import Offered
    from clawd.gateway.openai_question import Question
    from clawd.gateway.token import Token
    from clawd.ids import Clock


class Passthrough:
    """One answer of a model; see `clawd.gateway.openai_answers.Answer`.

    A client that names a model gets that one or an error; that of a route, whichever of its models answers.
    """

    def __init__(self, offered: Offered, question: Question, token: Token, clock: Clock) -> None:
        self.id = secrets.token_hex(12)
        self._router = offered.router
        self._request = to_request(question, offered, token)
        self._clock = clock
        self._operator = "admin" in token.scopes

    async def events(self) -> AsyncGenerator[Event, None]:
        end = TextEnd(self._request.stop)
        try:
            async with aclosing(self._router.stream(self._request)) as events:
                async for event in events:
                    match event:
                        case TextDelta(text):
                            if piece := end.more(text):
                                yield Piece(piece)
                        case Switched():
                            end = TextEnd(self._request.stop)
                            yield Anew(f"{event.to_model}: {event.reason}")
                        case Completed(response):
                            yield Whole(
                                text=end.of(response.text),
                                model=response.model,
                                tool_calls=response.tool_calls,
                                finish=response.finish,
                                usage=response.usage,
                            )
                            return
                        case Progress():
                            pass
                        case _:
                            assert_never(event)
        except ModelError as error:
            raise model_refusal(error, self._clock, operator=self._operator) from error
        raise OpenAIRefused(502, "the model's answer broke off", code="model_failed")

    async def abandon(self) -> None:
        """Closing its events frees the model; there is nothing else to end."""


def to_request(question: Question, offered: Offered, token: Token) -> ModelRequest:
    """Return what the router is asked; raises RequestRefused (400) for files, which models get from the agent."""
    for message in question.messages:
        if isinstance(message, UserMessage):
            _check_files(message)
    pinned = offered.kind_of(question.model) == "model"
    conversation = ""
    if question.conversation is not None:
        conversation = str(Address(bridge=BRIDGE, account=token.name, chat=question.conversation))
    return ModelRequest(
        messages=question.messages,
        tools=question.tools,
        route=DEFAULT_ROUTE if pinned else question.model,
        pin=question.model if pinned else None,
        strict=pinned,
        max_tokens=question.max_tokens,
        temperature=question.temperature,
        schema=question.schema,
        stop=question.stop,
        must_call=question.must_call,
        tags=RequestTags(
            bridge=BRIDGE, conversation=conversation, user=f"{BRIDGE}:{token.name}", direct=True
        ),
    )


def _check_files(message: UserMessage) -> None:
    for part in message.parts:
        if isinstance(part, Audio | File) or (isinstance(part, Image) and is_stored(part.ref)):
            raise bad_field(
                "messages",
                "sounds, files and ids of files are not handed on to a model",
                code="unsupported_value",
                remedy="ask the agent: model clawd",
            )
