"""What can be seen from outside the daemon: one list of events, in the order in which the fakes met them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.crash.words import answered_word

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Somebody wrote. A webhook's sender is owed an answer only once it was told that it is taken."""

    at: float  # seconds on a clock that never goes back, as in all events
    chat: str
    word: str
    owed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The sender was told that its message is taken; it will not send it again."""

    at: float
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One tool call in a response of the model."""

    id: str
    kind: str  # pure | idempotent | keyed | once


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The model server was asked, and is about to answer with a token that nobody saw before."""

    at: float
    life: int  # which process asked
    word: str  # of the message that is being answered
    step: int  # how many responses of the model the request holds behind that message
    token: str
    calls: tuple[Call, ...] = ()  # in the answer
    contains: frozenset[str] = frozenset()  # tokens and receipts in the request
    results: tuple[tuple[str, str], ...] = ()  # (call id, text) of the tool results in the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """The effects server was called."""

    at: float
    life: int
    kind: str
    key: str  # the daemon's own name for this step of this turn
    place: str  # which call it is, whatever response asked for it: word/step/index
    token: str  # of the response that asked for it
    call: str
    receipt: str  # unique; the tool's result


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A text reached a chat or a callback, as a new message or as the new text of one."""

    at: float
    chat: str
    message: str  # equal for what the receiver takes as the same message
    text: str
    body: bytes = b""  # of a callback: a repeat has the same bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process began."""

    at: float
    life: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """A process is gone; `killed` unless it ended by itself."""

    at: float
    life: int
    killed: bool = True


Event = Said | Taken | Asked | Acted | Shown | Started | Died


class Notebook:
    """The events so far, and who waits for more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.unanswered: set[str] = set()  # words, also of those not taken yet
        self._changed = asyncio.Event()

    def add(self, event: Event) -> None:
        """Note an event; call it at the moment that it happens."""
        self.events.append(event)
        match event:
            case Said(word=word):
                self.unanswered.add(word)
            case Shown(text=text) if (answered := answered_word(text)) is not None:
                self.unanswered.discard(answered)
            case _:
                pass
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(self, condition: Callable[[], object], timeout_s: float) -> None:
        """Return once the condition holds; it is asked after each event. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self._changed.wait()
