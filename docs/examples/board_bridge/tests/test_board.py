"""The bridge in front of a board that a test controls, held to the suite that every bridge passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from clawd_board import PLUGIN, BoardConfig

from clawd.bridge import Bridge, BridgeContext, Inbox
from clawd.conformance import BridgeConformance, Feature, MediaKind
from clawd.messages import Address, Part, text_of

TOKEN = "board-token-1234567890"


class Board:
    """The board: messages, answers, and faults. A `Platform` of the suite."""

    features: Sequence[Feature] = (
        "redelivery",
        "connection",
        "credentials",
        "limit",
        "gone",
        "reset",
        "refused",
        "garbage",
    )
    secrets = (TOKEN,)

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[str, str]] = {}  # by key: room and text
        self._fault: Feature | None = None
        self._wait_s = 0
        self._news = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    # --- a server -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/messages", self._list), web.post("/rooms/{room}/messages", self._post)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._news.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _list(self, request: web.Request) -> web.Response:
        if self._fault == "connection":
            return web.Response(status=502)
        if self._fault == "credentials" or request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        after = int(request.query["after"])
        found = [row for row in self.rows if row["id"] > after]
        if not found and request.query["wait"] != "0":
            self._news.clear()
            try:
                async with asyncio.timeout(5):
                    await self._news.wait()
            except TimeoutError:
                pass
            found = [row for row in self.rows if row["id"] > after]
        return web.json_response({"messages": found})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if self._fault == "credentials":
            return web.Response(status=401)
        if self._fault == "limit":
            return web.Response(status=429, headers={"Retry-After": str(self._wait_s)})
        if self._fault == "gone":
            return web.Response(status=404)
        text = (await request.json())["text"]
        self.answers.setdefault(request.headers["Idempotency-Key"], (request.match_info["room"], text))
        self._news.set()
        if self._fault == "reset" and request.transport is not None:
            request.transport.abort()
        return web.json_response({"id": len(self.answers)}, status=201)

    # --- what the suite does --------------------------------------------------------------------------------

    def bridge(self, context: BridgeContext) -> Bridge:
        self._name = context.name
        section = {"type": "board", "url": f"http://127.0.0.1:{self._port}", "token": TOKEN}
        return PLUGIN.create(context, BoardConfig.model_validate(section))

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        """The bridge asks by itself."""

    def detach(self) -> None:
        """What comes waits on the board."""

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account="board", chat=chat)

    async def say(self, text: str, *, chat: str = "1") -> None:
        self._add({"room": chat, "author": f"person-{chat}", "text": text, "at": _now()})

    async def say_again(self) -> None:
        raise NotImplementedError  # not one of the features: the board tells each once behind a cursor

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        raise NotImplementedError  # not one of the features

    async def send_garbage(self) -> None:
        self._add({"room": 7, "text": None})

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        async with asyncio.timeout(10):
            while len(found := [text for room, text in self.answers.values() if room == chat]) < count:
                self._news.clear()
                await self._news.wait()
        return found

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        raise NotImplementedError  # not one of the features

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        self._fault, self._wait_s = feature, wait_s
        if feature == "refused":
            await self.stop()
        self._news.set()

    async def mend(self) -> None:
        self._fault = None
        if self._runner is None:
            await self.start()

    def text_of(self, parts: Sequence[Part]) -> str:
        return text_of(tuple(parts))

    def _add(self, row: dict[str, Any]) -> None:
        self.rows.append({"id": len(self.rows) + 1, **row})
        self._news.set()


def _now() -> str:
    return datetime.now(UTC).isoformat()


class TestBoard(BridgeConformance):
    """The suite, with what a board can play."""

    features = Board.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[Board]:
        board = Board()
        await board.start()
        yield board
        await board.stop()
