"""Controls on their way to running turns: out of band, effective at once."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from clawd.ids import TurnId

T = TypeVar("T")


class Stopped(ClawdError):
    """A person stopped the turn."""


class Box:
    """The controls of one running turn."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask the turn to end now."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether somebody asked the turn to end."""
        return self._stop.is_set()

    async def until_stopped(self, work: Coroutine[None, None, T]) -> T:
        """Return what `work` returns; cancel it as soon as the turn is stopped.

        A stop, and a cancellation from outside, count more than what `work` raises while it is cancelled.

        Raises:
            Stopped: the turn was stopped before `work` was done.
        """
        if self.stopped:
            work.close()
            raise Stopped("the turn was stopped")
        try:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(work, name="step")
                watch = tasks.create_task(self._stop.wait(), name="stop-watch")
                await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
                watch.cancel()
                if not task.done():
                    task.cancel()
        except BaseExceptionGroup as group:
            if (ours := asyncio.current_task()) is not None and ours.cancelling():
                raise asyncio.CancelledError from group
            if self.stopped:
                raise Stopped("the turn was stopped") from group
            # One task does the work, so there is one error; callers match on its own type.
            raise group.exceptions[0] from group.exceptions[0].__cause__
        if task.cancelled():
            if not self.stopped:
                raise RuntimeError("a step cancelled itself")
            raise Stopped("the turn was stopped")
        return task.result()


class Mailbox:
    """The boxes of all turns that run in this process."""

    def __init__(self) -> None:
        self._boxes: dict[TurnId, Box] = {}

    def stop(self, turn: TurnId) -> None:
        """Stop a running turn; one that does not run here finds the control in the journal when it does."""
        if box := self._boxes.get(turn):
            box.stop()

    @contextmanager
    def open(self, turn: TurnId) -> Iterator[Box]:
        """Receive the controls of one turn inside the `with` block."""
        box = Box()
        self._boxes[turn] = box
        try:
            yield box
        finally:
            del self._boxes[turn]
