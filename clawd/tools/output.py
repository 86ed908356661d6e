"""What a command writes: its beginning and its end, in bounded memory, at a bounded cost for the loop."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_RUSH_BYTES: Final = (
    1 << 20
)  # read as fast as they come; behind that there are pauses, so that `yes` does not
_PAUSE_S: Final = 0.002  # keep the event loop from everybody else: some 30 MB/s, and 5 % of one core
_END_S: Final = 2.0  # everybody who held the pipe is dead; then its end comes at once


class HeadAndTail:
    """Keeps the first and the last part of what it is fed; never more than 8 bytes for each character."""

    def __init__(self, max_chars: int) -> None:
        self._half = max_chars // 2
        self._room = 4 * self._half  # bytes; a character of UTF-8 has at most four
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0
        """Bytes fed so far."""

    def feed(self, data: bytes) -> None:
        """Take what comes next."""
        self.total += len(data)
        missing = self._room - len(self._head)
        if missing > 0:
            self._head += data[:missing]
            data = data[missing:]
        self._tail += data[-self._room :]
        if len(self._tail) > 2 * self._room:
            del self._tail[: -self._room]

    def text(self) -> str:
        """Return all of it, or beginning and end with a note between them; what is no UTF-8 becomes U+FFFD."""
        tail = bytes(self._tail[-self._room :])
        cut = self.total - len(self._head) - len(tail)
        if not cut:
            whole = (bytes(self._head) + tail).decode("utf-8", "replace")
            if len(whole) <= 2 * self._half:
                return whole
            first, last = whole[: self._half], whole[-self._half :]
        else:
            first = self._head.decode("utf-8", "replace")[: self._half]
            last = tail.decode("utf-8", "replace")[-self._half :]
        left_out = self.total - len(first.encode()) - len(last.encode())
        return f"{first}\n[… {max(left_out, 1)} of {self.total} bytes left out here …]\n{last}"


class Capture(asyncio.Protocol):
    """The reading end of a pipe that a child writes to. `captured` makes it."""

    def __init__(self, max_chars: int, write_end: int) -> None:
        self._kept = HeadAndTail(max_chars)
        self._write_end = write_end
        self._transport: asyncio.ReadTransport | None = None
        self._ended = asyncio.Event()
        self._hurry = False

    @property
    def file(self) -> int:
        """The descriptor to hand to the child, as standard output and standard error."""
        return self._write_end

    def handed_over(self) -> None:
        """The child has the descriptor; ours would keep the pipe from ending."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    async def text(self) -> str:
        """Return what was written; call it when all writers have ended."""
        self.handed_over()
        self._hurry = True
        self._resume()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._ended.wait()
        return self._kept.text()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._kept.feed(data)
        if self._kept.total > _RUSH_BYTES and not self._hurry and self._transport is not None:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(_PAUSE_S, self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended.set()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


@asynccontextmanager
async def captured(max_chars: int) -> AsyncGenerator[Capture, None]:
    """Open a pipe for the length of the `with` block.

    Args:
        max_chars: How much of the output is kept, half of it from the beginning and half from the end.

    Raises:
        OSError: there are no more descriptors.
    """
    read_end, write_end = os.pipe()
    capture = Capture(max_chars, write_end)
    pipe = os.fdopen(read_end, "rb", buffering=0)
    try:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: capture, pipe)
    except BaseException:
        pipe.close()
        capture.handed_over()
        raise
    try:
        yield capture
    finally:
        capture.handed_over()
        transport.close()
