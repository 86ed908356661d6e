"""Who is running on this host, by the kernel's word; for tests that nothing is left."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path


def marked_sleep() -> str:
    """Return a `sleep` of some 1,000 s that no other test has."""
    return f"sleep 1{random.randrange(10**9):09d}e-6"


def running(command: str) -> list[int]:
    """Return the processes that run exactly this command line, zombies not counted."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().split(b"\0")[:-1] == command.encode().split():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


async def count_is(command: str, count: int, within_s: float = 30) -> None:
    """Return once so many processes run the command."""
    async with asyncio.timeout(within_s):
        while len(await asyncio.to_thread(running, command)) != count:
            await asyncio.sleep(0.02)
