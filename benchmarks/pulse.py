"""A model server that holds all its answers back until enough have been asked for, and then streams them in step.

`python -m benchmarks.pulse --streams N --deltas D` prints its port, then a line of JSON when the last answer
has begun and one when all have ended, each with the time. Every delta is the time it was sent at (monotonic,
one clock for all processes of a machine), `STAMP` characters. It speaks just as much HTTP as the answers to
a well-behaved client take, so that thousands of deltas a second cost it little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STAMP: Final = 16
_SLOTS: Final = 20  # a period is cut into so many, so that not all streams move in the same instant
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)


class _Asked(asyncio.Protocol):
    """One connection, which asks for one answer."""

    def __init__(self, server: _Pulse) -> None:
        self._server = server
        self._seen = b""
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length:")
        if end and not self._asked and len(body) >= int(rest.partition(b"\r\n")[0] or b"0"):
            self._asked = True
            self._transport.write(_HEAD + _chunk({"role": "assistant", "content": None}))
            self._server.asked(self._transport)


class _Pulse:
    """All answers."""

    def __init__(self, streams: int, deltas: int, every_s: float) -> None:
        self._streams = streams
        self._deltas = deltas
        self._every_s = every_s
        self._waiting: list[asyncio.Transport] = []
        self._all = asyncio.Event()

    def asked(self, transport: asyncio.Transport) -> None:
        self._waiting.append(transport)
        if len(self._waiting) == self._streams:
            self._all.set()

    async def serve(self) -> None:
        """Answer until killed."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Asked(self), "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await self._all.wait()
        print(json.dumps({"begun": time.monotonic()}), flush=True)
        slots = [self._waiting[number::_SLOTS] for number in range(_SLOTS)]
        due = time.monotonic()
        for _ in range(self._deltas):
            for slot in slots:
                due += self._every_s / _SLOTS
                await asyncio.sleep(due - time.monotonic())
                chunk = _chunk({"content": f"{time.monotonic():{STAMP - 1}.6f} "})
                for transport in slot:
                    transport.write(chunk)
        for transport in self._waiting:
            transport.write(_chunk({}, finish="stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            transport.close()
        print(json.dumps({"ended": time.monotonic()}), flush=True)
        await asyncio.Event().wait()


def _chunk(delta: dict[str, str | None], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "p", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return _framed(b"data: %b\n\n" % json.dumps(body).encode())


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class PulseProcess:
    """The server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        self.base_url = f"http://127.0.0.1:{int(self._lines.readline())}/v1"

    def wait(self) -> float:
        """Return when the last answer had begun; called again, when all had ended."""
        told: dict[str, float] = json.loads(self._lines.readline())
        (moment,) = told.values()
        return moment


@contextmanager
def pulse(streams: int, deltas: int, every_s: float) -> Iterator[PulseProcess]:
    """Run it in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pulse", "--streams", str(streams)]
    command += ["--deltas", str(deltas), "--every", str(every_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield PulseProcess(process)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--deltas", type=int, default=100)
    parser.add_argument("--every", type=float, default=0.1)
    options = parser.parse_args()
    asyncio.run(_Pulse(options.streams, options.deltas, options.every).serve())


if __name__ == "__main__":
    main()
