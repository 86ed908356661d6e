"""How the real daemon ends, and what a second one or a failing disk does to it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from clawd.errors import EXIT_JOURNAL, EXIT_LOCKED
from tests.crash.world import ROOT, World, answer_to, world
from tests.fakes.openai_api import Reply
from tests.fakes.tracer import AVAILABLE, failing

SHORT = {"grace_s": 0.3, "delivery_s": 5}

needs_strace = pytest.mark.skipif(not AVAILABLE, reason="strace is not installed")


async def until_logged(here: World, event: str, timeout_s: float = 30) -> None:
    """Return once the daemon has logged an event; its log is the only sign of what has no effect outside."""
    log = here.state_dir / "state" / "clawd.log"
    async with asyncio.timeout(timeout_s):
        while not log.exists() or event not in log.read_text(encoding="utf-8"):
            await asyncio.sleep(0.02)


async def test_a_stop_while_a_model_thinks_hands_the_turn_back_uncounted(state_dir: Path) -> None:
    async with world(state_dir, agent={"max_attempts": 1}, shutdown=SHORT) as here:
        here.model.replies.extend([Reply(hang="headers"), Reply(hang="headers")])
        here.say(11, "hello")
        for attempt in (1, 2):  # more often than max_attempts
            await here.start()
            await here.model.arrived(attempt)
            assert await here.stop() == 0, here.tail()
        await here.start()
        await here.all_answered()
        assert here.answers(11) == [answer_to("hello")]
        assert await here.stop() == 0


async def test_a_stop_lets_a_turn_in_work_finish_and_delivers_its_answer(state_dir: Path) -> None:
    async with world(state_dir) as here:
        here.model.replies.append(Reply(text="finished in time", hang="headers"))
        await here.start()
        here.telegram.user_says(11, "hello")
        await here.model.arrived()
        assert here.daemon is not None
        here.daemon.send_signal(signal.SIGTERM)
        await until_logged(here, "stopping")
        here.model.release.set()
        assert await here.wait_dead() == 0
        assert here.answers(11) == ["finished in time"]


async def test_a_second_sigterm_ends_at_once_and_loses_nothing(state_dir: Path) -> None:
    async with world(state_dir, shutdown={"grace_s": 600, "delivery_s": 600}) as here:
        here.model.replies.append(Reply(hang="headers"))
        await here.start()
        here.say(11, "hello")
        await here.model.arrived()
        assert here.daemon is not None
        here.daemon.send_signal(signal.SIGTERM)
        await until_logged(here, "stopping")
        assert here.daemon.returncode is None
        here.daemon.send_signal(signal.SIGTERM)
        assert await here.wait_dead(10) == 0
        await here.start()
        await here.all_answered()
        assert not here.judge().broken


async def test_a_send_that_hangs_at_a_stop_is_left_to_the_next_start(state_dir: Path) -> None:
    async with world(state_dir, shutdown={"grace_s": 5, "delivery_s": 0.2}) as here:
        here.telegram.fault("sendMessage", "hang")
        await here.start()
        here.say(11, "hello")
        await here.telegram.wait_until(lambda: here.telegram.calls("sendMessage"))
        assert await here.stop() == 0
        await here.start()
        await here.all_answered()
        assert not here.judge().broken


async def test_a_second_daemon_exits_73_and_names_the_first(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        assert here.daemon is not None
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "clawd.daemon",
            env={**os.environ, "CLAWD_HOME": str(state_dir)},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await second.communicate()
        assert second.returncode == EXIT_LOCKED
        assert f"locked by process {here.daemon.pid}" in err.decode()
        assert b"Traceback" not in err
        assert (await here.control("status"))["pid"] == here.daemon.pid, "the first one keeps its socket"


async def test_a_socket_left_by_a_killed_daemon_is_replaced(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        await here.kill()
        assert (state_dir / "state" / "clawd.sock").is_socket()
        await here.start()
        assert here.daemon is not None
        assert (await here.control("status"))["pid"] == here.daemon.pid


# --- the disk ---------------------------------------------------------------------------------------------


@needs_strace
async def test_a_full_disk_pauses_everything_and_space_resumes_it(state_dir: Path) -> None:
    async with world(state_dir) as here:
        here.model.replies.append(Reply(hang="headers"))
        await here.start()
        here.say(11, "in work")
        await here.model.arrived()
        assert here.daemon is not None
        async with failing(here.daemon.pid, "pwrite64", "ENOSPC"):
            here.say(12, "refused for now")
            await until_logged(here, "journal_paused")
            here.model.release.set()  # the answer of the turn in work can't be committed either
            await until_logged(here, "turn_paused")
            assert not here.answers(11)
        await here.all_answered()
        assert not here.judge().broken, here.tail()
        assert here.paid_for("in work") == 1
        assert await here.stop() == 0


@needs_strace
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
async def test_a_disk_that_fails_stops_the_daemon_with_74_before_anything_is_acknowledged(
    state_dir: Path, call: str
) -> None:
    async with world(state_dir) as here:
        await here.start()
        assert here.daemon is not None
        async with failing(here.daemon.pid, call, "EIO"):
            here.say(11, "hello")
            assert await here.wait_dead() == EXIT_JOURNAL, here.tail()
        assert not here.answers(11)
        await here.start()
        assert (await here.control("status"))["last_end"]["how"] == "crash"
        await here.all_answered()
        assert not here.judge().broken


async def test_a_start_after_a_kill_says_that_nobody_stopped_the_daemon(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        assert (await here.control("status"))["last_end"] is None
        assert here.daemon is not None
        killed = here.daemon.pid
        await here.kill()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            here.configure(gateway={"port": taken.getsockname()[1]})
            await here.start()
            assert await here.wait_dead() > 0
        here.configure()
        await here.start()
        await until_logged(here, "ended_without_stop")
        last = (await here.control("status"))["last_end"]
        assert (last["how"], last["pid"]) == ("crash", killed)
        assert await here.stop() == 0
        await here.start()
        assert (await here.control("status"))["last_end"]["how"] == "clean"
        assert await here.stop() == 0
