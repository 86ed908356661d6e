"""Controls on their way to running turns: out of band, effective at once."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from clawd.errors import ClawdError
from clawd.until import Interrupted, until

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

        Raises:
            Stopped: the turn was stopped before `work` was done.
        """
        try:
            return await until(self._stop, work)
        except Interrupted as interrupted:
            raise Stopped("the turn was stopped") from interrupted


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
