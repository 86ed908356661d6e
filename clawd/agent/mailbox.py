"""What reaches a running turn from outside: out of band, effective at once."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from clawd.commands import is_in_place
from clawd.errors import ClawdError
from clawd.until import Interrupted, until

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from clawd.ids import TurnId
    from clawd.journal.base import Lease
    from clawd.messages import Address, InboundMessage

T = TypeVar("T")

Cause = Literal["stopped", "superseded"]


class Stopped(ClawdError):
    """The turn was ended from outside: by a person's stop, or by a newer message that takes its place."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(f"the turn was {cause}")
        self.cause = cause


class Box:
    """What came for one running turn."""

    def __init__(self, lease: Lease, *, interruptible: bool = False) -> None:
        self._lease = lease
        self._interruptible = interruptible
        self._ended = asyncio.Event()
        self._cause: Cause = "stopped"
        self.arrived = False
        """A further message of the conversation was accepted since this was last set to False."""

    def stop(self, cause: Cause = "stopped") -> None:
        """Ask the turn to end now; the first cause counts."""
        if not self._ended.is_set():
            self._cause = cause
        self._ended.set()

    @property
    def stopped(self) -> bool:
        """Whether the turn was asked to end."""
        return self._ended.is_set()

    def arrive(self, message: InboundMessage) -> None:
        """Note a message that was accepted behind the turn."""
        self.arrived = True
        if self._interruptible and takes_place_of(message, self._lease):
            self.stop("superseded")

    def check(self) -> None:
        """Raise Stopped if the turn was asked to end."""
        if self._ended.is_set():
            raise Stopped(self._cause)

    async def until_stopped(self, work: Coroutine[None, None, T]) -> T:
        """Return what `work` returns; cancel it as soon as the turn is asked to end.

        Raises:
            Stopped: the turn was asked to end before `work` was done.
        """
        try:
            return await until(self._ended, work)
        except Interrupted as interrupted:
            raise Stopped(self._cause) from interrupted


def takes_place_of(message: InboundMessage, lease: Lease) -> bool:
    """Whether a message continues what its sender asked: theirs, and no command."""
    return message.sender.id == lease.message.sender.id and not is_in_place(message.text)


class Mailbox:
    """The boxes of all turns that run in this process."""

    def __init__(self) -> None:
        self._boxes: dict[TurnId, Box] = {}
        self._turns: dict[Address, TurnId] = {}  # by conversation; one turn of each runs at a time

    def stop(self, turn: TurnId) -> None:
        """Stop a running turn; one that does not run here finds the control in the journal when it does."""
        if box := self._boxes.get(turn):
            box.stop()

    def arrived(self, message: InboundMessage) -> None:
        """Tell the running turn of the message's conversation, if one runs here."""
        turn = self._turns.get(message.address)
        if turn is not None:
            self._boxes[turn].arrive(message)

    @contextmanager
    def open(self, lease: Lease, *, interruptible: bool = False) -> Iterator[Box]:
        """Receive what comes for one turn inside the `with` block."""
        box, address = Box(lease, interruptible=interruptible), lease.address
        self._boxes[lease.turn] = box
        self._turns[address] = lease.turn
        try:
            yield box
        finally:
            del self._boxes[lease.turn]
            del self._turns[address]
