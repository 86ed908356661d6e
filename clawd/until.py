"""Work that an event may end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Interrupted(Exception):
    """The event was set before the work was done."""


async def until(event: asyncio.Event, work: Coroutine[None, None, T]) -> T:
    """Return what `work` returns; cancel it as soon as `event` is set. Nothing begins if it is set already.

    Args:
        event: What ends the work.
        work: Started here; whatever it raises keeps its own type. What it raises while it is cancelled
            counts less than the event, or than the cancellation from outside.

    Raises:
        Interrupted: the event was set first.
        RuntimeError: `work` cancelled itself.
    """
    if event.is_set():
        work.close()
        raise Interrupted
    raised: list[Exception] = []

    async def kept() -> T | None:
        # An error that went through the group would end it and hide a cancellation of the group's owner.
        try:
            return await work
        except Exception as error:  # noqa: BLE001 - raised below
            raised.append(error)
            return None

    owner = asyncio.current_task()
    async with asyncio.TaskGroup() as tasks:
        # Who looks at tasks sees the owner's name, such as a turn's id, on what runs for it.
        task = tasks.create_task(kept(), name=owner.get_name() if owner else "work")
        watch = tasks.create_task(event.wait(), name="watch")
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        ended = task.done()
        task.cancel()
        watch.cancel()
    if ended and raised:
        raise raised[0]
    if not ended and (raised or task.cancelled()):
        raise Interrupted
    if task.cancelled():
        raise RuntimeError("the work cancelled itself")
    return task.result()  # type: ignore[return-value] # None only where something was raised
