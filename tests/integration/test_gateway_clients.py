"""The clients of docs/websocket.md against a real daemon that is killed in the middle of their answers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from clawd.journal.reading import BEGINNING
from tests.fakes.gateway_socket import talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).parents[2]
ANSWER = "The tide comes in, 水位上升, and it goes out again, twice a day."
TOKEN = "test-token-of-the-clients"
JS_END = """
const show = (text) => console.log(JSON.stringify(text));
show(await ask(process.argv[2], { token: process.env.CLAWD_TOKEN }, process.argv[3], process.argv[4], show));
"""


def code(language: str) -> str:
    """Return the one program in this language that the page shows."""
    page = (ROOT / "docs/websocket.md").read_text()
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)
    assert isinstance(found, str)
    return found


@pytest.fixture
def model(state_dir: Path) -> Iterator[str]:
    """A model server that stops in the middle of its first three answers; yields its base URL."""
    chunks = [ANSWER[at : at + 3] for at in range(0, len(ANSWER), 3)]
    script = state_dir / "script.json"
    cut = [{"chunks": chunks, "null_content": False, "hang": "stream"}] * 3
    script.write_text(json.dumps({"replies": cut, "default": {"chunks": chunks, "chunk_delay_s": 0.005}}))
    argv = [sys.executable, "-m", "tests.fakes.openai_api", "--port", "0", "--script", str(script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/v1"
        finally:
            process.kill()


@pytest.fixture
def port(state_dir: Path, model: str) -> int:
    """Where the daemon of the configuration in `state_dir` listens, before and after a restart."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    (state_dir / "config.yaml").write_text(f"""
models: [{{name: main, type: chat, base_url: "{model}", api_key: test, model: fake-1}}]
gateway: {{port: {port}, tokens: [{{name: web, token: {TOKEN}}}]}}
access: {{default: allow}}
""")
    return port


@asynccontextmanager
async def running(*argv: str, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "CLAWD_HOME": str(home), "CLAWD_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@asynccontextmanager
async def daemon(home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running daemon, ready to answer."""
    async with running(sys.executable, "-m", "clawd.daemon", home=home) as process:
        assert process.stderr is not None
        async for line in process.stderr:
            if b'"event": "ready"' in line:
                break
        yield process


async def record(port: int, wanted: int, partial: asyncio.Event) -> list[dict[str, Any]]:
    """Return the durable frames of a conversation, over as many connections as it takes."""
    found: list[dict[str, Any]] = []
    cursor, done = BEGINNING, 0
    while done < wanted:
        with suppress(OSError, ConnectionClosed):
            async with talk(port, TOKEN) as there:
                await there.say("send", id="1", conversation="raw", text="tell me of the tide")
                await there.say("subscribe", conversation="raw", after=cursor)
                while done < wanted:
                    frame = await there.next()
                    if frame["type"] in ("message", "done"):
                        found.append(frame)
                        cursor = frame["cursor"]
                        done += frame["type"] == "done"
                    elif frame["type"] == "delta":
                        partial.set()
        await asyncio.sleep(0.05)
    return found


async def shown(process: asyncio.subprocess.Process, partial: asyncio.Event) -> list[str]:
    """Return what a client shows, line by line; `partial` is set once that is part of the answer."""
    lines = []
    assert process.stdout is not None
    async for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]:
            partial.set()
    assert process.stderr is not None
    assert await process.wait() == 0, (await process.stderr.read()).decode()
    return lines


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
async def test_clients_of_the_page_get_their_answers_although_the_daemon_is_killed(
    state_dir: Path, port: int
) -> None:
    (state_dir / "client.py").write_text(code("python"))
    (state_dir / "client.mjs").write_text(code("js") + JS_END)
    url, text = f"ws://127.0.0.1:{port}/v1/ws", "tell me of the tide"
    node = ("node", "--experimental-websocket", "--no-warnings", f"{state_dir}/client.mjs", url, "js", text)
    python = (sys.executable, f"{state_dir}/client.py", url, "py", text)
    begun = [asyncio.Event() for _ in range(3)]
    async with (
        daemon(state_dir) as first,
        running(*python, home=state_dir) as py,
        running(*node, home=state_dir) as js,
        asyncio.TaskGroup() as tasks,
    ):
        results = (
            tasks.create_task(shown(py, begun[0])),
            tasks.create_task(shown(js, begun[1])),
        )
        raw = tasks.create_task(record(port, 1, begun[2]))
        for event in begun:
            await event.wait()
        assert not any(task.done() for task in (*results, raw))
        first.kill()
        await first.wait()
        async with daemon(state_dir):
            for task in results:
                lines = await task
                assert lines[-1] == ANSWER
                assert any(ANSWER.startswith(line) and line for line in lines[:-1])
            durable = [(frame["type"], frame["text"]) for frame in await raw]
    assert durable == [("message", text), ("done", ANSWER)]
