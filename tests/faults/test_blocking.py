"""A tool that blocks the event loop of a real daemon is named while it does; an idle daemon sleeps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.client import Client
from tests.crash.world import World, world
from tests.fakes.distribution import install_distribution
from tests.fakes.openai_api import Reply, Seen
from tests.faults.house import events, logged, pid_of, start_under, state_of

if TYPE_CHECKING:
    from clawd.response import JsonValue

PACKAGE = """
import time
from pathlib import Path
from clawd.config.schema import ToolConfig
from clawd.tools.base import ToolPlugin, ToolResult, ToolSpec

class Blocking:
    spec = ToolSpec(name="block", description="Blocks.", parameters={"type": "object"}, effect="pure")

    def __init__(self, site):
        self.log = site.state_dir / "clawd.log"

    async def call(self, arguments, context):
        return self.sits_on_the_loop()

    def sits_on_the_loop(self):
        until = time.monotonic() + 30
        while "loop_blocked" not in self.log.read_text() and time.monotonic() < until:
            time.sleep(0.02)
        return ToolResult("done")

BLOCK = ToolPlugin(name="block", config=ToolConfig, create=lambda site, _config: Blocking(site))
"""


def wants_the_tool(seen: Seen) -> Reply | None:
    called = any(message["role"] == "tool" for message in seen.body["messages"])
    return None if called else Reply(text="", tool_calls=[{"id": "1", "name": "block", "arguments": "{}"}])


async def said(here: World, text: str) -> None:
    """Send a message from the terminal, and return once it is answered."""
    client = Client([state_of(here) / "clawd.sock"])
    message: dict[str, JsonValue] = {"text": text, "conversation": "default"}
    await asyncio.to_thread(client.post, "/messages", message)
    await here.settled()


def switches(here: World) -> dict[str, int]:
    """How often each thread of the daemon went to sleep."""
    found = {}
    for status in Path(f"/proc/{pid_of(here)}/task").glob("*/status"):
        text = status.read_text(encoding="ascii")
        name = text.split()[1]
        found[f"{name} {status.parent.name}"] = int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return found


@pytest.mark.timeout(120)
async def test_a_tool_that_blocks_the_loop_is_named_in_the_log_while_it_does(
    state_dir: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    install_distribution(
        site, "clawd-block", {"clawd.tools": {"block": "blocking_tool:BLOCK"}}, {"blocking_tool": PACKAGE}
    )
    async with world(state_dir, bridges={}) as here:
        here.model.choose = wants_the_tool
        await start_under(here, "env", environ={"PYTHONPATH": str(site)})
        await said(here, "please")
        blocked, over = await logged(here, "loop_blocked"), await logged(here, "loop_came_back")
        assert "Blocking.sits_on_the_loop" in blocked["stack"]
        assert (blocked["why"], blocked["turn"].split(":")[0]) == ("waits", "turn")
        assert over["after_s"] >= blocked["for_s"] >= 1
        assert len(events(here, "loop_blocked")) == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_no_thread_of_an_idle_daemon_wakes(state_dir: Path) -> None:
    async with world(state_dir, bridges={}) as here:
        await here.start()
        await said(here, "hello")
        async with asyncio.timeout(60):  # kept connections end, the database is tidied up
            before: dict[str, int] = {}
            while (now := switches(here)) != before:
                before = now
                await asyncio.sleep(5)
