"""The event loop's own clock, moved on or stopped: for limits that the code under test hands to `asyncio.timeout`."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def jump(seconds: float) -> None:
    """Let so much time have passed for all timers of the running loop, and none for the test."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + seconds  # type: ignore[method-assign] # the clock, not our code


@contextmanager
def stopped() -> Iterator[None]:
    """Let no time pass for the timers of the running loop: a busy machine makes nothing late."""
    loop = asyncio.get_running_loop()
    time, now = loop.time, loop.time()
    loop.time = lambda: now  # type: ignore[method-assign] # the clock, not our code
    try:
        yield
    finally:
        loop.time = time  # type: ignore[method-assign]
