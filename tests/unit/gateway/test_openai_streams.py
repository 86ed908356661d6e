"""Streams over a real socket: clients that read nothing, and a close that lets nobody wait."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from clawd.gateway.openai_answers import Piece, Whole
from clawd.gateway.openai_chat import Chunks
from clawd.gateway.openai_streams import Streams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from clawd.gateway.openai_answers import Event


class Answer:
    """Says the same without end, or nothing."""

    id = "1"

    def __init__(self, text: str) -> None:
        self.text = text
        self.begun, self.abandoned = asyncio.Event(), asyncio.Event()

    async def events(self) -> AsyncGenerator[Event, None]:
        self.begun.set()
        while self.text:
            yield Piece(self.text)
            await asyncio.sleep(0)
        await asyncio.Event().wait()
        yield Whole(text="", model="")

    async def abandon(self) -> None:
        self.abandoned.set()


@asynccontextmanager
async def serving(streams: Streams, answer: Answer) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for the answer, and read nothing of it by oneself."""

    async def handle(request: web.Request) -> web.StreamResponse:
        frames = Chunks(id_="1", model="m", created=0, usage=False, note="")
        return await streams.stream(request, answer, frames, at_once=True)

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2], limit=1000)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        yield reader
    finally:
        writer.transport.abort()
        await runner.cleanup()


async def test_a_client_that_reads_nothing_is_hung_up_on() -> None:
    answer = Answer("x" * 100_000)
    async with serving(Streams(write_timeout_s=0.1), answer), asyncio.timeout(30):
        await answer.abandoned.wait()


async def test_a_close_ends_an_answer_at_once_and_says_why() -> None:
    streams, answer = Streams(look_s=3600), Answer("")
    async with serving(streams, answer) as reader, asyncio.timeout(30):
        await answer.begun.wait()
        assert len(streams.tasks()) == 1
        streams.close()
        assert b"draining" in await reader.readuntil(b"[DONE]")
        while streams.tasks():
            await asyncio.sleep(0)
