"""One daemon process after the other on one state directory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.nursery import can_fork
from tests.fakes.forked import Forked, fork_daemon

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
START_S = 60.0  # on a machine that is busy with other things


class DaemonProcess:
    """The daemon, which may die at any time; `output` has its log."""

    def __init__(self, home: Path, *, forks: bool = True) -> None:
        """Make it; without `forks` each is a Python of its own, as where its memory is measured."""
        self.home = home
        self._forks = forks
        self.output = home / "output.log"
        self.process: asyncio.subprocess.Process | Forked | None = None
        self.starts = 0

    async def spawn(self, *, fault: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        """Begin a process, and do not wait for it."""
        env = {**os.environ, "CLAWD_HOME": str(self.home), **(environ or {})}
        env.pop("CLAWD_FAULT", None)
        if fault is not None:
            env["CLAWD_FAULT"] = fault
        self.starts += 1
        with self.output.open("ab") as log:
            if self._forks and can_fork(env):
                self.process = await fork_daemon(env, ROOT, log.fileno())
                return
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "clawd.daemon",
                env=env,
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )

    async def ready(self) -> bool:
        """Return True once it is ready, False when it has died before."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await self.process.stdout.readline()
        assert line in (b"", b"clawd is ready\n"), line
        return bool(line)

    async def dead(self, timeout_s: float = START_S) -> int:
        """Return the exit code once it is gone."""
        assert self.process is not None
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        self._signal(signal.SIGKILL)
        await self.process.wait()

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is still somebody to take it.

        Not by `Process.send_signal`: `subprocess` polls first, and of a process that has just killed itself
        takes the exit code that asyncio waits for, which then reports 255.
        """
        assert self.process is not None
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def control(self, path: str) -> Any:
        """Return what the control socket answers to a GET."""
        reader, writer = await asyncio.open_unix_connection(str(self.home / "state" / "clawd.sock"))
        try:
            writer.write(f"GET /control/v1/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            raw = await reader.read()
        finally:
            writer.close()
        return json.loads(raw.partition(b"\r\n\r\n")[2])

    async def settled(self) -> None:
        """Return once the daemon has nothing left to do: what would double has doubled by then."""
        async with asyncio.timeout(START_S):
            while True:
                queue = (await self.control("status"))["queue"]
                if not (queue["deliveries_open"] or queue["running"] or queue["queued"]):
                    return
                await asyncio.sleep(0.05)

    def tail(self, lines: int = 40) -> str:
        """Return the end of the daemon's log."""
        text = self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
