"""Processes that an earlier run of this daemon left behind."""

from __future__ import annotations

import asyncio
import logging

from clawd.child import end_leftovers

log = logging.getLogger(__name__)


async def end_those_of(instance: str) -> None:
    """Kill what turns of this journal started and what outlived its daemon; return once it is gone.

    Call it before any turn goes on: a call that was cut off is told to the model as interrupted, and must
    not go on behind its back. Turns of another journal belong to another daemon, which may be running.

    Args:
        instance: The journal's own name, part of the turn ids in the processes' environment.
    """
    ended = await asyncio.to_thread(end_leftovers, lambda turn: turn.startswith(f"turn:{instance}-"))
    for left in ended:
        log.warning("leftover_ended", extra={"pid": left.pid, "turn": left.turn})
