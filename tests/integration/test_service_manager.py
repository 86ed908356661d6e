"""The real daemon under a service manager: when it says ready, and when it stops feeding the watchdog."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clawd.client import Client
from clawd.response import JsonValue
from tests.fakes.service_manager import ServiceManager

PERIOD_US = 800_000  # a round every 0.4 s; what a test waits for are datagrams and lines, not times


@asynccontextmanager
async def daemon(
    home: Path, manager: ServiceManager, **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    (home / "config.yaml").write_text("models: [{name: demo, type: demo}]\ngateway: {port: false}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "clawd.daemon",
        env={
            **os.environ,
            "CLAWD_HOME": str(home),
            "NOTIFY_SOCKET": manager.address,
            "WATCHDOG_USEC": str(PERIOD_US),
            **environ,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(50):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def client(home: Path) -> Client:
    return Client([home / "state" / "clawd.sock"])


async def line_with(process: asyncio.subprocess.Process, event: str) -> str:
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if event in line:
            return line
    pytest.fail(f"the daemon ended without {event}")


async def received(manager: ServiceManager, what: dict[str, str]) -> None:
    while not what.items() <= (await manager.receive()).items():
        pass


async def test_ready_is_told_once_the_socket_answers_and_a_stop_is_told_too(state_dir: Path) -> None:
    with ServiceManager(state_dir / "notify") as manager:
        async with daemon(state_dir, manager) as process:
            await received(manager, {"READY": "1"})
            status = await asyncio.to_thread(client(state_dir).get, "/status")
            assert status["pid"] == process.pid
            await received(manager, {"WATCHDOG": "1"})
            process.send_signal(signal.SIGTERM)
            await received(manager, {"STOPPING": "1"})
            assert await process.wait() == 0
            await process.communicate()


async def test_a_writer_that_is_stuck_starves_the_watchdog_until_it_goes_on(state_dir: Path) -> None:
    stuck = "journal.before_commit:accept:1:sleep=4"
    with ServiceManager(state_dir / "notify") as manager:
        async with daemon(state_dir, manager, CLAWD_FAULT=stuck) as process, asyncio.TaskGroup() as group:
            await received(manager, {"WATCHDOG": "1"})
            said: dict[str, JsonValue] = {"text": "hello", "conversation": "default"}
            message = group.create_task(asyncio.to_thread(client(state_dir).post, "/messages", said))
            assert "writer" in await line_with(process, "watchdog_not_fed")
            manager.received()
            await line_with(process, "watchdog_not_fed")
            assert manager.received() == []
            # The loop runs all the while: the socket answers.
            assert json.dumps(await asyncio.to_thread(client(state_dir).get, "/status"))
            await received(manager, {"WATCHDOG": "1"})
            assert (await message)["kind"] == "accepted"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            await process.communicate()
