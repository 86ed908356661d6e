"""Receivers that quote what they were sent: keys in paths, tokens in headers. None of it is shown or kept."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.fakes.doors import TOKEN, Doors, doors
from tests.fakes.webhook_sender import event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH_KEY = "T0recognisable/B1path/kEy2OfARemoteReceiver"  # as chat services give out
QUERY_KEY = "recognisable%2Bquery%2Fkey%3D3"
TOKEN_KEY = 'recognisable "alert" token & 4'
HEADER_KEY = "recognisable-header-key-5"
RECOGNISABLE = (
    "kEy2OfARemoteReceiver",
    "query/key=3",
    "query%2Fkey",
    "token & 4",
    "token %26 4",
    "header-key-5",
)

READS = (
    ("status",),
    ("status", "--json"),
    ("status", "--all"),
    ("bridges", "list", "--json"),
    ("bridges", "test"),
    ("alerts", "list", "--json"),
    ("dead", "list", "--json"),
    ("dead", "list"),
    ("logs", "--json"),
    ("doctor", "--json"),
    ("config", "show"),
)


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that refuses everything, and quotes it; yields its address and what it was asked."""
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        heads = {name: value for name, value in request.headers.items() if name.startswith(("Auth", "X-"))}
        return web.json_response(
            {"error": f"Cannot {request.method} {request.raw_path}", "ok": False, "headers": heads},
            status=400,
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def shown(here: Doors, turn: str) -> list[str]:
    said = []
    for words in (
        *READS,
        ("trace", turn, "-v"),
        ("trace", turn, "--json"),
        ("alerts", "test", "--timeout", "5"),
    ):
        result = await here.clawd(*words)
        said += [f"{words}: {result.out}", f"{words}: {result.err}"]
    ops = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/metrics", "/readyz", f"/v1/messages/{turn}"):
        said.append(f"{path}: {(await here.request('GET', path, headers=ops)).text}")
    return said


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_what_receivers_quote_of_a_call_is_shown_nowhere_and_not_kept() -> None:
    async with echo() as (url, asked):
        target = {
            "url": f"{url}/services/{PATH_KEY}?key={QUERY_KEY}",
            "token": TOKEN_KEY,
            "headers": {"X-Key": HEADER_KEY},
        }
        hook = {"callback_url": f"{url}/hooks/{PATH_KEY}?token={QUERY_KEY}"}
        async with doors(hook=hook, alerts={"targets": [target]}, logging={"level": "debug"}) as here:
            await here.hook(event("hi"))
            (turn,) = await here.ended(1)
            said = await shown(here, turn["id"])
            assert any(PATH_KEY in path and "services" in path for path in asked)
            assert any(PATH_KEY in path and "hooks" in path for path in asked)
            await here.world.stop()
            said.append(here.world.output.read_text(encoding="utf-8", errors="replace"))
            state = here.world.state_dir / "state"
            said += [
                f"{path.name}: {path.read_bytes().decode('latin-1')}"
                for path in await asyncio.to_thread(
                    lambda: [each for each in state.rglob("*") if each.is_file()]
                )
            ]
    places = [
        f"{text[:40]} … {text[max(0, at - 160) : at + 30]}"
        for text in said
        for key in RECOGNISABLE
        if (at := text.find(key)) >= 0
    ]

    assert places == []
