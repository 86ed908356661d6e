"""Responses of the agent after they were asked for: shown again, ended, deleted. They are turns of the journal."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.errors import HoldsMore, NotPossible
from clawd.gateway.messages import BRIDGE, sender_of
from clawd.gateway.openai_agent import whole_of
from clawd.gateway.openai_errors import OpenAIRefused
from clawd.gateway.openai_question import AGENT
from clawd.gateway.openai_responses import Response
from clawd.gateway.waits import is_over
from clawd.messages import Address, InboundControl, MessageId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.gateway.auth import TokenStore
    from clawd.gateway.openai_agent import AgentDoor
    from clawd.gateway.waits import Waits
    from clawd.ids import TurnId
    from clawd.journal.reading import TurnView
    from clawd.response import JsonObject

    Erase = Callable[[Address, TurnId], Awaitable[None]]

_STOP_S: Final = 10.0  # for the turn to end


class KeptResponses:
    """Answers about responses that there are.

    Args:
        agent: Finds them.
        waits: For their end.
        erase: Deletes a conversation that holds this turn alone and is not open; says so in the same step.
    """

    def __init__(self, agent: AgentDoor, tokens: TokenStore, waits: Waits, erase: Erase) -> None:
        self._agent = agent
        self._tokens = tokens
        self._waits = waits
        self._erase = erase

    async def show(self, request: web.Request) -> web.Response:
        """Answer with a response as it is now."""
        token = self._tokens.require(request.headers, "chat", "read")
        return web.json_response(_shown(await self._agent.turn(request.match_info["id"], token)))

    async def cancel(self, request: web.Request) -> web.Response:
        """End a response, and answer with what there is of it; 409 where it had ended otherwise."""
        token = self._tokens.require(request.headers, "chat")
        view = await self._agent.turn(request.match_info["id"], token, to_change=True)
        if is_over(view):
            if view.state == "cancelled":
                return web.json_response(_shown(view))
            raise OpenAIRefused(409, f"this response is {view.state}", code="turn_over", again=False)
        control = InboundControl(
            id=MessageId(f"{BRIDGE}:{token.name}:stop:{secrets.token_hex(16)}"),
            # Where the word comes from, not where the turn is: rights are those of the one who asks.
            address=Address(bridge=BRIDGE, account=token.name, chat=view.conversation.chat),
            sender=sender_of(token, None),
            kind="stop",
            turn=view.id,
            sent_at=self._agent.clock.now(),
        )
        await self._agent.inbox.accept([control])
        return web.json_response(_shown(await self._waits.turn(view, _STOP_S)))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a response with its conversation, to the last byte; 409 where that holds more."""
        token = self._tokens.require(request.headers, "chat")
        view = await self._agent.turn(request.match_info["id"], token, to_change=True)
        if view.conversation.bridge != BRIDGE:  # an operator's token may end turns of chats, too
            raise OpenAIRefused(404, "no response of this id", code="not_found")
        try:
            await self._erase(view.conversation, view.id)
        except HoldsMore as error:
            raise OpenAIRefused(
                409,
                "its conversation holds more than this response",
                code="not_alone",
                remedy=error.remedy,
                again=False,
            ) from error
        except NotPossible as error:
            raise OpenAIRefused(
                409, error.what, code="turn_open", remedy="cancel it first", again=False
            ) from error
        return web.json_response({"id": _response(view).name, "object": "response", "deleted": True})


def _response(view: TurnView) -> Response:
    return Response(
        id=view.id.removeprefix("turn:"),
        model=AGENT,
        created=int(view.accepted_at.timestamp()),
        stored=True,
    )


def _shown(view: TurnView) -> JsonObject:
    response = _response(view)
    match view.state:
        case "failed" | "dead":
            return response.failed({"code": f"turn_{view.state}", "message": view.answer})
        case "queued":
            return response.body("queued", [])
        case "cancelled":
            return response.cancelled(view.answer)
        case "answered":
            return response.whole(whole_of(view))
        case _:
            return response.body("in_progress", [])
