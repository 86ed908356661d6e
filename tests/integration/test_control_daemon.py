"""`clawd start`, `stop` and their kind with the real daemon."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from clawd.client import Client
from clawd.control.server import ControlServer
from clawd.errors import DaemonNotRunning
from tests.fakes.control_services import World
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
    """A shell in a home of its own; a daemon that a test leaves behind is ended."""
    (state_dir / "config.yaml").write_text(CONFIG)
    shell = Shell(state_dir)
    yield shell
    await shell("stop")


async def _running(clawd: Shell) -> int:
    started = await clawd("start", "--detach", "--json")
    assert started.code == 0, started.err
    pid: int = started.json["pid"]
    return pid


def _gone(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 0)[0])
    finally:
        os.close(descriptor)


async def test_a_detached_daemon_is_ready_when_start_returns_and_gone_when_stop_does(
    clawd: Shell, state_dir: Path
) -> None:
    started = await clawd("start", "--detach")
    assert started.code == 0, started.err
    assert f"socket   {state_dir}/state/clawd.sock" in started.out
    assert "gateway  http://127.0.0.1:" in started.out
    assert f"log      {state_dir}/state/clawd.log" in started.out
    status = (await clawd("status", "--json")).json
    assert status["state"] == "ready"
    assert os.getsid(status["pid"]) == status["pid"]  # hanging up the terminal does not reach it
    stopped = await clawd("stop")
    assert (stopped.code, stopped.out) == (0, "stopped\n")
    assert _gone(status["pid"])
    assert (await clawd("status")).code == 3


async def test_a_second_daemon_exits_73_and_names_the_first(clawd: Shell) -> None:
    pid = await _running(clawd)
    second = await clawd("start", "--detach")
    assert second.code == 73
    assert f"locked by process {pid}" in second.err
    assert (await clawd("status", "--json")).json["pid"] == pid


async def test_a_broken_configuration_stops_the_start_with_78_and_its_place(
    clawd: Shell, state_dir: Path
) -> None:
    (state_dir / "config.yaml").write_text("agent: {max_step: 3}\n")
    for command in (["start", "--detach"], ["start"]):
        result = await clawd(*command)
        assert result.code == 78
        assert "config.yaml:1:9" in result.err
        assert "Traceback" not in result.err


async def test_start_in_the_foreground_becomes_the_daemon_itself(clawd: Shell, state_dir: Path) -> None:
    process = await clawd.start("start")
    client = Client([state_dir / "state" / "clawd.sock"])
    while True:
        with suppress(DaemonNotRunning):
            status = await asyncio.to_thread(client.get, "/status")
            break
        await asyncio.sleep(0.02)
    assert status["pid"] == process.pid
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


async def test_a_message_is_answered_traced_and_logged(clawd: Shell, state_dir: Path) -> None:
    await _running(clawd)
    client = Client([state_dir / "state" / "clawd.sock"])
    turn = (await asyncio.to_thread(client.post, "/messages", {"text": "hello"}))["id"]
    view = await asyncio.to_thread(client.get, f"/turns/{turn}", wait=20)
    assert view["state"] == "answered"
    assert "accepted" in (await clawd("trace", turn)).out
    export = (await clawd("conversations", "export", "default", "--json")).json["entries"]
    assert [entry["type"] for entry in export] == ["turn"]
    assert export[0]["records"][-1]["kind"] == "turn.finished"
    logged = await clawd("logs", "--json", "--since", "1h")
    events = [json.loads(line)["event"] for line in logged.out.splitlines()]
    assert "ready" in events
    assert "turn_finished" in events


async def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(clawd: Shell, state_dir: Path) -> None:
    await _running(clawd)
    (state_dir / "config.yaml").write_text(CONFIG + "agent: {max_steps: 3, max_turn_s: x}\n")
    refused = await clawd("reload")
    assert refused.code == 78
    assert "config.yaml:4:35" in refused.err
    (state_dir / "config.yaml").write_text(CONFIG)
    assert (await clawd("reload")).code == 0
    assert (await clawd("status", "--json")).json["config_error"] == ""


async def test_a_stop_that_takes_too_long_says_so_and_is_no_success(state_dir: Path, world_pid: int) -> None:
    """A daemon that never ends: the control socket answers for a process that goes on."""
    world = World()
    world.pid = world_pid
    (state_dir / "state").mkdir()
    shell = Shell(state_dir)
    async with ControlServer(state_dir / "state" / "clawd.sock", world.services()):
        result = await shell("stop", "--timeout", "0.1")
    assert result.code == 75
    assert f"kill -9 {world_pid}" in result.err
    assert world.stopped.is_set()


@pytest.fixture
async def world_pid() -> AsyncIterator[int]:
    """A process that goes on until its standard input ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read()", stdin=asyncio.subprocess.PIPE
    )
    yield process.pid
    await process.communicate(b"")


async def test_logs_are_followed_as_the_daemon_writes_them(clawd: Shell) -> None:
    await _running(clawd)
    follower = await clawd.start("logs", "-f", "-n", "0", "--json")
    assert follower.stdout is not None
    while True:
        await clawd("trace", "turn:none-1-1")  # refused, and logged
        try:
            async with asyncio.timeout(0.2):
                line = await follower.stdout.readline()
        except TimeoutError:
            continue
        break
    assert json.loads(line)["event"] == "control_refused"
    follower.send_signal(signal.SIGINT)
    await follower.communicate()
    assert follower.returncode == 130


async def test_every_line_of_the_log_is_json_on_request(clawd: Shell, state_dir: Path) -> None:
    (state_dir / "state").mkdir()
    (state_dir / "state" / "clawd.log").write_text('clawd is ready\n{"ts": "x", "event": "ready"}\n')
    result = await clawd("logs", "--json")
    assert [json.loads(line)["event"] for line in result.out.splitlines()] == ["output", "ready"]


async def test_logs_say_where_nothing_matches(clawd: Shell, state_dir: Path) -> None:
    (state_dir / "state").mkdir()
    (state_dir / "state" / "clawd.log").write_text('{"ts": "x", "event": "ready"}\n')
    result = await clawd("logs", "--turn", "nope")
    assert (result.code, result.out, result.err) == (0, "", "nothing matches\n")
    result = await clawd("logs")
    assert (result.code, result.err) == (0, "")


async def test_logs_without_a_file_say_what_to_do(clawd: Shell) -> None:
    result = await clawd("logs")
    assert result.code == 1
    assert "there is no log file" in result.err
    assert "try: " in result.err


async def test_a_time_that_is_none_exits_2(clawd: Shell, state_dir: Path) -> None:
    (state_dir / "state").mkdir()
    (state_dir / "state" / "clawd.log").write_text("")
    result = await clawd("logs", "--since", "yesterdayish")
    assert result.code == 2
    assert "--since 10m" in result.err
