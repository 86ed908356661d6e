"""`clawd tokens` with the real daemon, and what a token does there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.fakes.shell import Shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIG = """
gateway: {port: 0}
models:
  - {name: demo, type: demo}
  - {name: silent, type: chat, base_url: "http://127.0.0.1:%d/v1", api_key: none}
"""


@pytest.fixture
async def asked() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """The port of a model that never answers, and the event that it was asked."""
    asked = asyncio.Event()
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        asked.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()
    for writer in held:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def clawd(state_dir: Path, asked: tuple[int, asyncio.Event]) -> AsyncIterator[Shell]:
    (state_dir / "config.yaml").write_text(CONFIG % asked[0])
    shell = Shell(state_dir)
    started = await shell("start", "--detach", "--json")
    assert started.code == 0, started.err
    shell.environ["GATEWAY"] = started.json["gateway"]
    yield shell
    await shell("stop")


async def ask(
    clawd: Shell, token: str, conversation: str = "p-1", path: str = "", **fields: str
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    body = {"text": "hello", "conversation": conversation, **fields}
    url = f"{clawd.environ['GATEWAY']}/v1/messages{path}"
    async with aiohttp.ClientSession() as client, client.post(url, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_a_token_is_made_shown_once_used_and_revoked(clawd: Shell, state_dir: Path) -> None:
    made = await clawd("tokens", "create", "phone", "--conversations", "p-", "--expires", "30d")
    assert made.code == 0, made.err
    token = made.out.removesuffix("\n")
    assert token.startswith("clawd_")
    assert len(token.split()) == 1  # it alone stands on standard output
    assert (await ask(clawd, token))[0] == 202
    assert (await ask(clawd, token, "other"))[0] == 403
    (phone,) = (t for t in (await clawd("tokens", "list", "--json")).json["tokens"] if t["name"] == "phone")
    assert (phone["scopes"], phone["conversations"], phone["source"]) == (["chat"], "p-", "created")
    assert phone["last_used_at"]
    assert token not in (await clawd("tokens", "list")).out
    again = await clawd("tokens", "create", "phone")
    assert (again.code, again.out) == (1, "")
    revoked = await clawd("tokens", "revoke", "phone")
    assert (revoked.code, revoked.out) == (0, "the token phone counts no more\n")
    assert (await ask(clawd, token))[0] == 401
    assert token.encode() not in (state_dir / "state" / "clawd.log").read_bytes()


async def test_a_turn_that_thinks_is_cancelled_over_rest(
    clawd: Shell, state_dir: Path, asked: tuple[int, asyncio.Event]
) -> None:
    token = (state_dir / "state" / "gateway.token").read_text().strip()
    status, sent = await ask(clawd, token, model="silent")
    assert status == 202, sent
    await asked[1].wait()
    status, body = await ask(clawd, token, path=f"/{sent['id']}/cancel?wait=10")
    assert (status, body["status"]) == (200, "cancelled")
    status, body = await ask(clawd, token, path=f"/{sent['id']}/cancel")
    assert (status, body["error"]["code"]) == (409, "turn_over")
