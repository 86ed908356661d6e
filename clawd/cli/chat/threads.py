"""Blocking calls beside an event loop, in threads that nobody waits for at the end.

The loop's own executor is joined when the program ends: leaving a chat would wait for a stuck daemon.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from clawd.errors import ClawdError, ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def call(function: Callable[[], T]) -> T:
    """Return what the function returns, run in a thread of its own; a ClawdError passes through."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: ClawdError | None) -> None:
        if future.done():  # cancelled meanwhile
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a T whenever there is no error

    def work() -> None:
        result: T | None = None
        error: ClawdError | None = ControlError("a part of the chat broke down", remedy="clawd --debug chat")
        try:
            result = function()
            error = None
        except ClawdError as told:
            error = told
        finally:
            with suppress(RuntimeError):  # the loop is closed: the person has left
                loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=work, name="chat-call", daemon=True).start()
    return await future
