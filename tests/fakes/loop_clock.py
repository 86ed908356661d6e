"""The event loop's own clock, moved on: for limits that the code under test hands to `asyncio.timeout`."""

from __future__ import annotations

import asyncio


def jump(seconds: float) -> None:
    """Let so much time have passed for all timers of the running loop, and none for the test."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + seconds  # type: ignore[method-assign] # the clock, not our code
