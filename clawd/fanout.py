"""Publish/subscribe of what happens in turns while it happens: lossy, in memory, never a promise.

What must arrive is in the journal; a subscriber that falls behind loses events and reads the turn's
current text from `live`, which always holds the whole of it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.ids import TurnId
    from clawd.journal.base import Lease, OpenQuestion
    from clawd.journal.records import Outcome
    from clawd.messages import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A worker took a turn (again)."""

    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """More visible text; `offset` is where it begins in the turn's visible text, in characters."""

    turn: TurnId
    attempt: int
    offset: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The visible text so far is void; another attempt begins at offset 0."""

    turn: TurnId
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolNote:
    """A tool call began or ended."""

    turn: TurnId
    name: str
    phase: Literal["started", "ok", "error"]
    summary: str  # arguments or result, shortened
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The turn's end is committed."""

    turn: TurnId
    outcome: Outcome
    text: str
    model: str | None = None
    exit_code: int = 0
    notice: str = ""  # told beside the text


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedBack:
    """This process stopped working on a turn that is not over; with `offline`, it waits for the network.

    With `held`, it rests for a moment after the journal could not be written, and goes on by itself.
    """

    turn: TurnId
    why: Literal["", "offline", "held"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The turn is in work, or next to be, and stands still while the journal can't be written.

    `why` is the database's word.
    """

    turn: TurnId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The turn waits for a person's word; no worker is on it until that comes, or the deadline."""

    turn: TurnId
    question: OpenQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A push or a message entered the conversation: there is something new to read in the journal."""


Event = Started | Delta | Reset | ToolNote | Asked | Ended | HandedBack | Held | Arrived


class GrowingText:
    """Text that comes in many pieces: adding one costs the piece, not all that came before it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def add(self, piece: str) -> None:
        """Let it grow."""
        self._pieces.append(piece)
        self._length += len(piece)

    def clear(self) -> None:
        """Begin anew."""
        self._pieces, self._length = [], 0


@dataclass(slots=True, kw_only=True)
class LiveTurn:
    """The visible text of a turn in work."""

    turn: TurnId
    attempt: int = 1
    claims: int = 1  # of the turn, with this one
    visible: GrowingText = field(default_factory=GrowingText)

    @property
    def text(self) -> str:
        """All of it; ask only when it is going to be used."""
        return str(self.visible)


class Subscription:
    """Events of one conversation, or of all, in order; `lost` is set when some did not fit.

    Args:
        address: The conversation; None for all.
        size: Events that are kept.
        chars: Characters of new text in them that are kept; 0 for no limit.
    """

    def __init__(self, address: Address | None, size: int, chars: int = 0) -> None:
        self.address = address
        self.lost = False
        self._size = size
        self._room = chars or math.inf
        # A queue of asyncio's would do, with three more of these and a lock: that is most of an idle reader.
        self._events: deque[tuple[Address, Event]] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many events wait to be read."""
        return len(self._events)

    def put(self, address: Address, event: Event) -> None:
        """Add an event, or note that it is lost."""
        weight = _weight(event)
        if len(self._events) >= self._size or weight > self._room:
            self.lost = True
            return
        self._events.append((address, event))
        self._room -= weight
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> tuple[Address, Event]:
        """Return the next event; for one reader at a time."""
        while not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        address, event = self._events.popleft()
        self._room += _weight(event)
        return address, event


def _weight(event: Event) -> int:
    return len(event.text) if isinstance(event, Delta) else 0


class Fanout:
    """Publish and subscribe within this process."""

    def __init__(self) -> None:
        self._by_address: dict[Address, set[Subscription]] = {}
        self._all: set[Subscription] = set()
        self._live: dict[Address, LiveTurn] = {}

    def publish(self, address: Address, event: Event) -> None:
        """Show an event to all who watch this conversation; never blocks."""
        self._follow(address, event)
        for subscription in self._by_address.get(address, ()):
            subscription.put(address, event)
        for subscription in self._all:
            subscription.put(address, event)

    @contextmanager
    def subscribe(
        self, address: Address | None = None, *, size: int = 1000, chars: int = 0
    ) -> Iterator[Subscription]:
        """Watch one conversation, or all of them, inside the `with` block; limits as `Subscription`'s."""
        subscription = Subscription(address, size, chars)
        group = self._all if address is None else self._by_address.setdefault(address, set())
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if address is not None and not group:
                self._by_address.pop(address, None)

    def live(self, address: Address) -> LiveTurn | None:
        """Return the turn in work at this address with its text so far."""
        return self._live.get(address)

    def _follow(self, address: Address, event: Event) -> None:
        match event:
            case Started(lease=lease):
                self._live[address] = LiveTurn(turn=lease.turn, attempt=lease.attempts, claims=lease.claims)
            case Delta():
                if live := self._live.get(address):
                    live.visible.add(event.text)
            case Reset():
                if live := self._live.get(address):
                    live.visible.clear()
                    live.attempt = event.attempt
            case Ended() | HandedBack() | Asked():
                self._live.pop(address, None)
            case ToolNote() | Held() | Arrived():
                pass
