"""Faults of the kernel in a running process: system calls that fail while a tracer is attached."""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AVAILABLE = shutil.which("strace") is not None


@asynccontextmanager
async def failing(pid: int, call: str, error: str) -> AsyncIterator[None]:
    """Let every such system call of the process fail inside the `with` block, in all its threads."""
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-f", "-p", str(pid), "-e", f"trace={call}", "-e", f"inject={call}:error={error}",
        "-o", "/dev/null", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert tracer.stderr is not None
    try:
        async with asyncio.timeout(30):
            line = await tracer.stderr.readline()
        assert b"attached" in line, line
        yield
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGINT)  # it lets the process go
        await tracer.communicate()
