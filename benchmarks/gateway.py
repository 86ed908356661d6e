"""What streams cost: an idle WebSocket, and many that stream at once: `python -m benchmarks.gateway [SOCKETS]`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.daemon import Daemon, daemon, fake_model
from benchmarks.table import Cell, table
from clawd.client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOCKETS = 1000
DELTAS = 50
EVERY_S = 0.1
REACH_KB = 30.0
TOKEN = "a-token-for-the-benchmark"  # noqa: S105 - of a daemon that lives for seconds


def main() -> None:
    """Print the table."""
    sockets = int(sys.argv[1]) if len(sys.argv) > 1 else SOCKETS
    with tempfile.TemporaryDirectory(prefix="clawd-bench-", dir="/tmp") as folder:
        script = Path(folder) / "script.json"
        reply = {"chunks": [f"{number:04} " for number in range(DELTAS)], "chunk_delay_s": EVERY_S}
        script.write_text(json.dumps({"rules": [{"contains": "stream", "reply": reply}]}), encoding="utf-8")
        with fake_model(script) as base_url:
            rows = asyncio.run(_measure(sockets, base_url))
    sys.stdout.write(f"{sockets} WebSockets, a conversation on each; a ratio below 1 is within reach\n\n")
    sys.stdout.write(table(["what", "measured", "reach", "ratio"], rows) + "\n")


async def _measure(sockets: int, base_url: str) -> list[list[Cell]]:
    sections = {
        "models": [{"name": "fake", "type": "chat", "base_url": base_url, "model": "fake-1"}],
        "agent": {"concurrency": sockets},
        "access": {"rate": "100000/s", "default": "allow"},
        "gateway": {"port": 0, "tokens": [{"name": "bench", "token": TOKEN}], "max_sockets": sockets + 10},
    }
    with daemon(**sections) as running:
        url = await asyncio.to_thread(_url, running)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(url, connector=connector) as client, AsyncExitStack() as open_ones:
            for number in range(10):  # what the first ones load is no cost of the others
                await open_ones.enter_async_context(_socket(client, f"warm-{number}"))
            before = running.rss_mb()
            streams = [
                await open_ones.enter_async_context(_socket(client, f"c-{number}"))
                for number in range(sockets)
            ]
            idle_kb = (running.rss_mb() - before) * 1000 / sockets
            cpu, began = running.cpu_s(), time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                seen = [
                    tasks.create_task(_stream(socket, f"c-{number}")) for number, socket in enumerate(streams)
                ]
            took = time.perf_counter() - began
            lost = sum(1 for task in seen if not task.result())
            cpu_us = (running.cpu_s() - cpu) / (sockets * DELTAS) * 1e6
    ideal = DELTAS * EVERY_S
    return [
        ["memory of an idle socket with a subscription (kB)", idle_kb, REACH_KB, idle_kb / REACH_KB],
        ["answers with text that was lost", lost, 0, float(lost)],
        [f"seconds for {DELTAS} deltas at {1 / EVERY_S:.0f} a second", took, ideal * 1.2, took / ideal / 1.2],
        ["CPU of the daemon for a delta, with the model's stream and the turn (µs)", cpu_us, "", ""],
    ]


def _url(running: Daemon) -> str:
    url: str = Client([running.home / "state" / "clawd.sock"]).get("/status")["gateway"]
    return url


@asynccontextmanager
async def _socket(
    client: aiohttp.ClientSession, conversation: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A socket that is subscribed to a conversation."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with client.ws_connect("/v1/ws", headers=headers) as socket:
        await socket.send_json({"type": "subscribe", "conversation": conversation})
        if (await socket.receive_json())["type"] != "accepted":
            raise SystemExit("the subscription was refused")
        yield socket


async def _stream(socket: aiohttp.ClientWebSocketResponse, conversation: str) -> bool:
    """Ask for an answer; return whether all of its text was seen growing."""
    await socket.send_json(
        {"type": "send", "id": conversation, "conversation": conversation, "text": "stream"}
    )
    shown = ""
    async for frame in _frames(socket):
        if frame["type"] in ("snapshot", "delta"):
            shown = shown[: int(str(frame["offset"]))] + str(frame["text"])
        elif frame["type"] == "reset":
            shown = ""
        elif frame["type"] == "done":
            return frame["status"] == "answered" and shown.strip() == str(frame["text"]).strip()
    return False


async def _frames(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, object]]:
    async for message in socket:
        frame: dict[str, object] = json.loads(message.data)
        yield frame


if __name__ == "__main__":
    main()
