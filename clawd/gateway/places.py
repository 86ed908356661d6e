"""Streams that stay open: bounded in number, and the ways to end one from outside."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from clawd.errors import ClawdError
from clawd.gateway.problems import RequestRefused, try_later

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

MAX_UNKNOWN: Final = 200
"""Clients at a time that have still to say who they are."""

HIGH_BYTES: Final = 64 * 1024
"""More than this in a connection's buffer, and its reader is waited for."""

_LOOK_S: Final = 0.02
_RETRY_S: Final = 5.0

Ending = Literal["unknown", "revoked", "stopping"]
"""Why a stream's time is over: nobody said who it is, who it was no longer counts, clawd stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimes:
    """How long a stream's client may take, in seconds."""

    auth_s: float = 10.0  # to say who it is
    write_s: float = 10.0  # to read something, while there is something to read
    heartbeat_s: float = 30.0  # of silence before a WebSocket is pinged; half of it again for the answer
    comment_s: float = 15.0  # of silence before a stream of events shows that it lives


class SlowReader(ClawdError):
    """A client does not read what it is sent."""

    code = "E-SLOW"


class StreamOver(ClawdError):
    """A stream's time is over."""

    code = "E-STREAM"

    def __init__(self, ending: Ending) -> None:
        super().__init__(f"the stream is over: {ending}")
        self.ending = ending


class Place:
    """One open stream.

    Args:
        known: Whether it is known whose it is.
        within_s: How long it may last unless `stay` is called; None for no limit.
    """

    __slots__ = ("_ended", "_time", "_within_s", "check", "ending", "known")

    def __init__(self, *, known: bool, within_s: float | None) -> None:
        self.known = known
        self.ending: Ending = "unknown"
        self.check: Callable[[], object] | None = (
            None  # raises RequestRefused once its client no longer counts
        )
        self._within_s = within_s
        self._ended = False
        self._time: asyncio.Timeout | None = None

    @asynccontextmanager
    async def bound(self) -> AsyncIterator[None]:
        """Bound what a stream does; raises StreamOver when its time is over."""
        time = asyncio.timeout(0 if self._ended else self._within_s)
        try:
            async with time:
                self._time = time
                try:
                    yield
                finally:
                    self._time = None  # what follows is its goodbye, which nothing ends early
        except TimeoutError as error:
            if not time.expired():
                raise
            raise StreamOver(self.ending) from error

    def stay(self, check: Callable[[], object]) -> None:
        """Note that its client is known, and may stay while `check` does not raise RequestRefused."""
        self.known, self.check, self._within_s = True, check, None
        if self._time is not None and not self._ended:
            self._time.reschedule(None)

    def end(self, ending: Ending) -> None:
        """Let its time be over, as the first of several reasons says."""
        if not self._ended:
            self._ended, self.ending = True, ending
            if self._time is not None:
                self._time.reschedule(asyncio.get_running_loop().time())


class Places:
    """All open streams; `most` of them, asked for each, as it may change with a reload."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._taken: set[Place] = set()
        self._closed = False
        self._empty = asyncio.Event()  # set when the last one has ended, once no more are taken

    @contextmanager
    def one(self, *, known: bool, within_s: float | None = None) -> Iterator[Place]:
        """Hold a place while a stream is open, for `within_s` seconds unless its time is put off.

        Raises:
            RequestRefused: 503 when all are taken, or clawd stops.
        """
        if self._closed:
            raise try_later("clawd is stopping", _RETRY_S, code="draining")
        unknown = sum(1 for place in self._taken if not place.known)
        if len(self._taken) >= self._most() or (not known and unknown >= MAX_UNKNOWN):
            raise try_later(
                f"{len(self._taken)} streams are open, and no more are taken",
                _RETRY_S,
                code="too_many_streams",
            )
        place = Place(known=known, within_s=within_s)
        self._taken.add(place)
        try:
            yield place
        finally:
            self._leave(place)

    def _leave(self, place: Place) -> None:
        self._taken.discard(place)
        if self._closed and not self._taken:
            self._empty.set()

    def recheck(self) -> None:
        """End the streams of clients that no longer count."""
        for place in self._taken:
            if place.check is not None:
                try:
                    place.check()
                except RequestRefused:
                    place.end("revoked")

    async def close(self, within_s: float) -> None:
        """Take no more streams and end those that are open; return once they are, or after `within_s`."""
        self._closed = True
        for place in self._taken:
            place.end("stopping")
        if self._taken:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._empty.wait()


async def room(transport: asyncio.WriteTransport, timeout_s: float) -> None:
    """Return once a connection can be given more.

    Raises:
        SlowReader: that did not come within `timeout_s`.
    """
    if transport.get_write_buffer_size() <= HIGH_BYTES:
        return
    try:
        async with asyncio.timeout(timeout_s):
            # The library's own way to wait hangs all that wait on one future: cancelled for one, it is so for all.
            while transport.get_write_buffer_size() > HIGH_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as error:
        raise SlowReader("reading too slowly") from error
