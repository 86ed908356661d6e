"""`clawd tokens` with the real daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.fakes.shell import Shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIG = """
gateway: {port: 0}
models: [{name: demo, type: demo}]
"""


@pytest.fixture
async def clawd(state_dir: Path) -> AsyncIterator[Shell]:
    (state_dir / "config.yaml").write_text(CONFIG)
    shell = Shell(state_dir)
    started = await shell("start", "--detach", "--json")
    assert started.code == 0, started.err
    shell.environ["GATEWAY"] = started.json["gateway"]
    yield shell
    await shell("stop")


async def ask(clawd: Shell, token: str, conversation: str = "p-1") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    body = {"text": "hello", "conversation": conversation}
    url = f"{clawd.environ['GATEWAY']}/v1/messages"
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
