"""The commands with the real daemon, as from another host: nothing but its URL and a token."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

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
async def here(state_dir: Path) -> AsyncIterator[Shell]:
    """A shell on the daemon's own host."""
    (state_dir / "config.yaml").write_text(CONFIG)
    shell = Shell(state_dir)
    started = await shell("start", "--detach", "--json")
    assert started.code == 0, started.err
    shell.environ["URL"] = started.json["gateway"]
    yield shell
    await shell("stop")


async def test_commands_work_from_afar_until_their_token_is_revoked(
    here: Shell, state_dir: Path, tmp_path: Path
) -> None:
    made = await here("tokens", "create", "laptop", "--scope", "admin")
    assert made.code == 0, made.err
    there = Shell(tmp_path)  # a home without any daemon
    there.environ |= {"CLAWD_URL": here.environ["URL"], "CLAWD_TOKEN": made.out.strip()}
    asked = await there("chat", "--json", "--no-stream", "hello")
    assert asked.code == 0, asked.err
    assert asked.json["text"]
    assert (await there("status", "--json")).json["gateway"] == here.environ["URL"]
    refused = await there("start")
    assert (refused.code, "works on the daemon's own host alone" in refused.err) == (2, True)
    (turn,) = (await there("turns", "list", "--json")).json["turns"]
    assert (turn["conversation"], turn["state"]) == ("terminal:token.laptop:default", "answered")
    tail = await there("tail", "default", "--no-follow", "--json")
    page = json.loads(tail.out.splitlines()[0])
    assert "hello" in json.dumps(page)
    kept = str(state_dir / "kept.db")  # on the daemon's host
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    expected = {
        ("tokens", "list"): (0, "laptop"),
        ("usage",): (0, "all of 7 days"),
        ("conversations", "list"): (0, "terminal:token.laptop:default"),
        ("backup", kept): (0, kept),
        ("backup", "kept.db"): (2, "absolute"),
        ("logs",): (2, "clawd logs works on the daemon's own host alone"),
        ("send", "nobody:1:2", "see", "--file", str(tmp_path / "cat.png")): (
            1,
            "there is no bridge 'nobody'",
        ),
    }
    async with asyncio.TaskGroup() as tasks:
        done = {command: tasks.create_task(there(*command)) for command in expected}
    for command, (code, says) in expected.items():
        result = done[command].result()
        assert (result.code, says in result.out + result.err) == (code, True), (command, result)
    revoked = await there("tokens", "revoke", "laptop")  # its own
    assert revoked.code == 0, revoked.err
    late = await there("turns", "list")
    assert (late.code, late.out) == (4, "")
    assert late.err.splitlines()[:2] == [
        "error[E-REMOTE]: a valid token is needed",
        f"where: {here.environ['URL']}",
    ]
