"""What the fault tests share: a daemon started under a wrapper, its log read by event, its state directory."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.tracer import AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.crash.world import World

ROOT = Path(__file__).parents[2]
MODULE = (sys.executable, "-m", "clawd.daemon")

needs_strace = pytest.mark.skipif(not AVAILABLE, reason="strace is not installed")


def state_of(here: World) -> Path:
    """The daemon's state directory."""
    return here.state_dir / "state"


def pid_of(here: World) -> int:
    """The daemon's process, whatever wrapper it was started under."""
    assert here.daemon is not None
    return here.daemon.pid


async def start_under(
    here: World, *wrapper: str, environ: Mapping[str, str] | None = None, timeout_s: float = 60
) -> None:
    """Start the daemon behind a command that ends in `exec "$@"`; return once it is ready or has ended."""
    env = {**os.environ, "CLAWD_HOME": str(here.state_dir), **(environ or {})}
    env.pop("CLAWD_FAULT", None)
    with here.output.open("ab") as log:
        here.runs.process = await asyncio.create_subprocess_exec(
            *wrapper,
            *MODULE,
            env=env,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert here.runs.process.stdout is not None
    async with asyncio.timeout(timeout_s):
        await here.runs.process.stdout.readline()


def events(here: World, name: str) -> list[dict[str, Any]]:
    """Return the lines of the daemon's log file with this event, oldest first."""
    path = state_of(here) / "clawd.log"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    found = []
    for line in text.splitlines():
        if name in line and line.startswith("{"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # being written
            if entry.get("event") == name:
                found.append(entry)
    return found


async def logged(here: World, name: str, count: int = 1, timeout_s: float = 30) -> dict[str, Any]:
    """Return the event once it was logged so often; the log is the only sign of what has no effect outside."""
    async with asyncio.timeout(timeout_s):
        while len(found := events(here, name)) < count:
            await asyncio.sleep(0.02)
    return found[count - 1]


async def until(holds: Callable[[], object], timeout_s: float = 30) -> None:
    """Return once the condition holds; for what nobody can tell us of."""
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.02)


def limit(here: World, kind: int, value: int) -> None:
    """Set a resource limit of the running daemon, soft and hard."""
    resource.prlimit(pid_of(here), kind, (value, value))


def rss_bytes(here: World) -> int:
    """Return the daemon's resident memory."""
    pages = int(Path(f"/proc/{pid_of(here)}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def cpu_s(here: World) -> float:
    """Return the processor time that the daemon has used."""
    fields = Path(f"/proc/{pid_of(here)}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
