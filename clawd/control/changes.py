"""Handlers that change something; each answers after the commit."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp import web

from clawd.control.answers import (
    BadRequest,
    NotAllowed,
    answer,
    body_of,
    flag_field,
    optional_text,
    text_field,
)
from clawd.control.files import files_in
from clawd.control.naming import (
    DEFAULT_CONVERSATION,
    TERMINAL,
    address_named,
    parsed_address,
    terminal_address,
)
from clawd.control.reads import ACCOUNT, turn_in
from clawd.control.waiting import OPEN_STATES
from clawd.errors import NotFound, NotPossible
from clawd.fanout import Arrived
from clawd.journal.items import Push, Pushed
from clawd.messages import (
    PULL_BRIDGES,
    Accepted,
    Duplicate,
    InboundControl,
    InboundMessage,
    MessageId,
    Refused,
    Replied,
    Sender,
    Text,
)
from clawd.nearest import nearest

if TYPE_CHECKING:
    from clawd.control.services import ControlServices
    from clawd.messages import AcceptResult, Address
    from clawd.response import JsonObject


class Changes:
    """Sends messages and does what an operator asks for."""

    def __init__(self, services: ControlServices) -> None:
        self._services = services

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the table of what is done here."""
        return [
            web.post(f"{prefix}/stop", self.stop),
            web.post(f"{prefix}/reload", self.reload),
            web.post(f"{prefix}/messages", self.message),
            web.post(f"{prefix}/turns/{{id}}/cancel", self.cancel),
            web.post(f"{prefix}/turns/{{id}}/retry", self.retry),
            web.post(f"{prefix}/conversations/reset", self.reset),
            web.post(f"{prefix}/push", self.push),
            web.post(f"{prefix}/dead/resubmit", self.resubmit),
            web.post(f"{prefix}/dead/drop", self.drop),
            web.post(f"{prefix}/pairings/approve", self.approve),
            web.post(f"{prefix}/pairings/revoke", self.revoke),
            web.post(f"{prefix}/bridges/{{name}}/test", self.test_bridge),
            web.post(f"{prefix}/models/{{name}}/test", self.test_model),
        ]

    async def stop(self, _request: web.Request) -> web.Response:
        self._services.operations.stop()
        return answer({"pid": os.getpid()})

    async def reload(self, _request: web.Request) -> web.Response:
        return answer(await self._services.operations.reload())

    async def message(self, request: web.Request) -> web.Response:
        body, account = await body_of(request), request[ACCOUNT]
        address = address_named(text_field(body, "conversation", DEFAULT_CONVERSATION), account)
        if address.bridge != TERMINAL:
            raise BadRequest(
                "a message from the terminal belongs into a terminal's conversation",
                where=str(address),
                why="its answer would go out to the chat",
                remedy=f"clawd send {address} TEXT",
            )
        text, model = text_field(body, "text"), self._model_in(body)
        message = InboundMessage(
            id=_message_id(account, body),
            address=address,
            sender=Sender(id=account, language=optional_text(body, "language")),
            parts=(Text(text),),
            sent_at=self._services.clock.now(),
            digest=hashlib.sha256((f"{text}\0{model}" if model else text).encode()).hexdigest(),
            model=model,
        )
        [result] = await self._services.inbox.accept([message])
        return answer(_accepted(result))

    async def cancel(self, request: web.Request) -> web.Response:
        turn, account = turn_in(request), request[ACCOUNT]
        view = await self._services.views.turn(turn)
        if view.state not in OPEN_STATES:
            raise NotPossible("this turn is over", where=turn, why=f"it is {view.state}")
        control = InboundControl(
            id=_message_id(account, {}),
            # Where the word comes from, not where the turn is: rights are those of the person who asks.
            address=terminal_address(account, DEFAULT_CONVERSATION),
            sender=Sender(id=account),
            kind="stop",
            turn=turn,
            sent_at=self._services.clock.now(),
        )
        await self._services.inbox.accept([control])
        return answer({})

    async def retry(self, request: web.Request) -> web.Response:
        turn = await self._services.admin.retry(turn_in(request))
        view = await self._services.views.turn(turn)
        self._services.fanout.publish(view.conversation, Arrived())
        return answer({"id": turn})

    async def reset(self, request: web.Request) -> web.Response:
        await self._services.admin.reset(await _conversation(request))
        return answer({})

    async def push(self, request: web.Request) -> web.Response:
        body, account = await body_of(request), request[ACCOUNT]
        address = parsed_address(text_field(body, "address"))
        self._check_pushable(address)
        files = await files_in(self._services, body)
        push = Push(
            id=_message_id(account, body), address=address, text=text_field(body, "text"), files=files
        )
        [result] = await self._services.journal.accept([push])
        self._services.fanout.publish(address, Arrived())
        return answer({"delivery": result.delivery if isinstance(result, Pushed) else None})

    async def resubmit(self, request: web.Request) -> web.Response:
        identifier = text_field(await body_of(request), "id")
        return answer({"id": await self._services.admin.resubmit(identifier)})

    async def drop(self, request: web.Request) -> web.Response:
        await self._services.admin.drop(text_field(await body_of(request), "id"))
        return answer({})

    async def approve(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        code = text_field(body, "code").strip()
        return answer(await self._services.operations.approve(code, owner=flag_field(body, "owner")))

    async def revoke(self, request: web.Request) -> web.Response:
        await self._services.operations.revoke(text_field(await body_of(request), "principal"))
        return answer({})

    async def test_bridge(self, request: web.Request) -> web.Response:
        return answer(await self._services.operations.test_bridge(request.match_info["name"]))

    async def test_model(self, request: web.Request) -> web.Response:
        began = self._services.clock.monotonic()
        detail = await self._services.operations.test_model(request.match_info["name"])
        return answer({"detail": detail, "duration_s": round(self._services.clock.monotonic() - began, 3)})

    def _model_in(self, body: JsonObject) -> str | None:
        """Return the model or route that the message asks for; raises BadRequest for one that is not there."""
        name = optional_text(body, "model")
        names = self._services.names()
        if name is None or name in names:
            return name
        near = nearest(name, names)
        raise BadRequest(
            f"there is no model {name!r}",
            why=f"models and routes: {', '.join(names)}",
            remedy=f"did you mean {near[0]}?" if near else "clawd models list",
        )

    def _check_pushable(self, address: Address) -> None:
        if address.bridge in PULL_BRIDGES:
            raise NotPossible(
                "nothing can be pushed there",
                where=str(address),
                why=f"a {address.bridge} client fetches its answers itself",
            )
        names = [bridge.name for bridge in self._services.operations.bridges()]
        if address.bridge not in names:
            raise NotFound(
                f"there is no bridge {address.bridge!r}",
                where=str(address),
                why=f"bridges: {', '.join(names) or 'none'}",
                remedy="clawd bridges list",
            )


async def _conversation(request: web.Request) -> Address:
    return address_named(text_field(await body_of(request), "conversation"), request[ACCOUNT])


def _message_id(account: str, body: JsonObject) -> MessageId:
    """Return the dedup key: the client's own id where it gave one, so that its repeats are seen."""
    return MessageId(f"{TERMINAL}:{account}:{optional_text(body, 'id') or uuid4().hex}")


def _accepted(result: AcceptResult) -> JsonObject:
    match result:
        case Accepted():
            return {"kind": "accepted", "id": result.turn, "position": result.position}
        case Duplicate(same_body=False):
            raise NotPossible("this id was used for another text", why=f"it made {result.turn}")
        case Duplicate():
            return {"kind": "duplicate", "id": result.turn}
        case Replied():
            return {"kind": "replied", "text": result.text}
        case Refused():
            raise NotAllowed(result.text or "the message was refused", why=result.reason)
