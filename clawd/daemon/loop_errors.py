"""What becomes of errors in the event loop that nobody waits for."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any, Final

from clawd.memory import end_if_exhausted

if TYPE_CHECKING:
    import asyncio

    from clawd.ids import Clock

log = logging.getLogger(__name__)

QUIET_S: Final = 60.0
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class LoopErrors:
    """The loop's exception handler: logs as asyncio does, but for what would fill the log or must end us.

    Without a free descriptor asyncio reports every connection of the backlog that it can't accept, each
    second anew. That is one event a minute here; connections wait, and are taken when there is room.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        end_if_exhausted(error)
        if not (isinstance(error, OSError) and error.errno in _NO_ROOM):
            loop.default_exception_handler(context)
            return
        now = self._clock.monotonic()
        if self._told_at is None or now - self._told_at >= QUIET_S:
            self._told_at = now
            log.error("connections_wait", extra={"why": error.strerror or str(error)})
