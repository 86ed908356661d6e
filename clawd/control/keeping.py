"""Handlers that keep the journal: backup, check, export, and a conversation's deletion.

What takes long answers with NDJSON frames, `type` first; the last one is `done` or `error`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from clawd.control.answers import (
    BadRequest,
    answer,
    body_of,
    error_body,
    flag_field,
    optional_text,
    text_field,
)
from clawd.control.frames import line
from clawd.control.naming import DEFAULT_CONVERSATION, address_named
from clawd.control.reads import ACCOUNT
from clawd.errors import ClawdError
from clawd.journal.keeping import ExportedConversation, ExportedTurn
from clawd.jsonable import json_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.control.services import ControlServices
    from clawd.control.waiting import OpenRequests
    from clawd.journal.keeping import Exported, Progress
    from clawd.response import JsonObject


class KeepingRoutes:
    """What an operator does about the journal as a whole."""

    def __init__(self, services: ControlServices, requests: OpenRequests) -> None:
        self._services = services
        self._requests = requests

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the table of what is done here."""
        return [
            web.get(f"{prefix}/journal", self.facts),
            web.get(f"{prefix}/export", self.export),
            web.post(f"{prefix}/backup", self.backup),
            web.post(f"{prefix}/journal/check", self.check),
            web.post(f"{prefix}/conversations/delete", self.delete),
        ]

    async def facts(self, _request: web.Request) -> web.Response:
        return answer(await self._services.keeping.facts())

    async def backup(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request)
        name, force = optional_text(body, "file"), flag_field(body, "force")
        if name is not None and not Path(name).is_absolute():
            raise BadRequest(
                "the file's path is not absolute", where=name, why="the daemon has another directory"
            )
        target = Path(name) if name is not None else None

        async def work(write: Callable[[JsonObject], Awaitable[None]]) -> object:
            return await self._services.keeping.backup(target, force=force, tell=_teller(write))

        return await self._framed(request, work)

    async def check(self, request: web.Request) -> web.StreamResponse:
        quick = flag_field(await body_of(request), "quick")

        async def work(write: Callable[[JsonObject], Awaitable[None]]) -> object:
            return await self._services.keeping.check(quick=quick, tell=_teller(write))

        return await self._framed(request, work)

    async def export(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("conversation", DEFAULT_CONVERSATION)
        items = self._services.keeping.export(address_named(name, request[ACCOUNT]))
        head = await anext(items)  # what can't be found is an answer of its own

        async def work(write: Callable[[JsonObject], Awaitable[None]]) -> object:
            await write(_frame(head))
            count = 0
            async for item in items:
                count += isinstance(item, ExportedTurn)
                await write(_frame(item))
            return {"turns": count}

        return await self._framed(request, work)

    async def delete(self, request: web.Request) -> web.Response:
        address = address_named(text_field(await body_of(request), "conversation"), request[ACCOUNT])
        turns = await self._services.admin.delete(address)
        clean = await self._services.keeping.scrub_if_wanted()
        facts = await self._services.keeping.facts()
        return answer({"turns": turns, "clean": clean, "backups": facts.backups})

    async def _framed(
        self,
        request: web.Request,
        work: Callable[[Callable[[JsonObject], Awaitable[None]]], Awaitable[object]],
    ) -> web.StreamResponse:
        """Answer with the frames that `work` writes, and its result or error as the last one."""
        with self._requests.one():
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)

            async def write(frame: JsonObject) -> None:
                await response.write(line(frame))

            with suppress(ConnectionResetError):  # the client left, and with it who wanted the work done
                try:
                    await write({"type": "done", **json_object(await work(write))})
                except ClawdError as error:
                    await write({"type": "error", "error": error_body(error)})
            return response


def _teller(write: Callable[[JsonObject], Awaitable[None]]) -> Callable[[Progress], Awaitable[None]]:
    async def tell(progress: Progress) -> None:
        await write({"type": "progress", **json_object(progress)})

    return tell


def _frame(item: Exported) -> JsonObject:
    match item:
        case ExportedConversation():
            return {"type": "conversation", **json_object(item)}
        case ExportedTurn():
            return {"type": "turn", **json_object(item)}
        case _:
            return {"type": "push", **json_object(item.delivery)}
