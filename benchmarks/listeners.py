"""Many WebSockets in one process, on bare sockets: `python -m benchmarks.listeners URL --token T --sockets N`.

They open, subscribe to a conversation each, ask for an answer and watch it grow, one step for each line of
standard input. Each step is answered with a line: an empty one, or in the end a `Heard` as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final, NoReturn
from urllib.parse import urlsplit

from benchmarks.pulse import STAMP

_TEXT: Final = 1
_PING: Final = 9
_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What all sockets saw."""

    deltas: int
    frames: int
    gaps: int  # frames that began elsewhere than where the text ended
    renewed: int  # snapshots given after the first, since live events were lost on the way
    unfinished: int  # sockets without the whole text, or whose answer is another than what grew
    p50_ms: float  # from the model's sending a delta to its arrival here
    p99_ms: float
    cpu_s: float  # of this process


@dataclass(slots=True)
class _Text:
    """The answer as it grows on one socket."""

    shown: str = ""
    snapshots: int = 0
    gaps: int = 0
    frames: int = 0
    whole: bool = False
    lags: list[float] = field(default_factory=list)


class _Listener(asyncio.Protocol):
    """One socket. What the server sends is not masked, and no frame of it is fragmented."""

    def __init__(self, host: str, token: str, conversation: str) -> None:
        self._host = host
        self._token = token
        self._conversation = conversation
        self._seen = bytearray()
        self._open = False
        self._reply = asyncio.get_running_loop().create_future()
        self.text = _Text()
        self.done = asyncio.Event()

    async def opened(self) -> None:
        """Return once it is a WebSocket."""
        await self._reply

    async def subscribe(self) -> None:
        """Return once the server has said that it is subscribed."""
        self._reply = asyncio.get_running_loop().create_future()
        self.send({"type": "subscribe", "conversation": self._conversation})
        await self._reply

    def ask(self) -> None:
        """Ask for an answer."""
        name = self._conversation
        self.send({"type": "send", "id": name, "conversation": name, "text": "stream"})

    def send(self, frame: dict[str, str]) -> None:
        payload = json.dumps(frame).encode()
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe%b" % len(payload).to_bytes(2)
        self._transport.write(b"\x81%b\0\0\0\0%b" % (size, payload))  # masked with zeros

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        head = (
            f"GET /v1/ws HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\n\r\n"
        )
        transport.write(head.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set()
        if not self._reply.done():
            self._reply.set_exception(ConnectionError("the gateway hung up"))

    def data_received(self, data: bytes) -> None:
        now, seen = time.monotonic(), self._seen
        seen += data
        if not self._open:
            head, end, rest = bytes(seen).partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._reply.set_exception(ConnectionError(head.decode()))
                return
            self._open, self._seen = True, bytearray(rest)
            self._reply.set_result(None)
            seen = self._seen
        while (frame := _frame(seen)) is not None:
            kind, payload = frame
            if kind == _TEXT:
                self._heard(json.loads(payload), now)
            elif kind == _PING:
                self._transport.write(b"\x8a\x80\0\0\0\0")

    def _heard(self, frame: dict[str, object], now: float) -> None:
        text = self.text
        match frame["type"]:
            case "accepted":
                if not self._reply.done():
                    self._reply.set_result(None)
            case "delta":
                text.frames += 1
                if frame["offset"] != len(text.shown):
                    text.gaps += 1
                    text.shown = text.shown[: int(str(frame["offset"]))]
                piece = str(frame["text"])
                text.shown += piece
                text.lags += [
                    now - float(piece[at : at + STAMP]) for at in range(0, len(piece) - STAMP + 1, STAMP)
                ]
            case "snapshot":
                text.snapshots += 1
                text.shown = str(frame["text"])
            case "reset" | "error":
                text.gaps += 1
                sys.stderr.write(f"{frame}\n")
            case "done":
                text.whole = text.shown.strip() == str(frame["text"]).strip() != ""
                self.done.set()
            case _:
                pass  # the message itself


def _frame(seen: bytearray) -> tuple[int, bytes] | None:
    """Take a frame, its kind and its payload, from what was received; None when it is not whole."""
    if len(seen) < 2:
        return None
    size, begin = seen[1] & 0x7F, 2
    if size > 125:
        begin = 4 if size == 126 else 10
        if len(seen) < begin:
            return None
        size = int.from_bytes(seen[2:begin])
    if len(seen) < begin + size:
        return None
    kind, payload = seen[0] & 0x0F, bytes(seen[begin : begin + size])
    del seen[: begin + size]
    return kind, payload


async def _run(url: str, token: str, sockets: int) -> None:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    listeners: list[_Listener] = []
    for number in range(sockets):
        make = partial(_Listener, parts.netloc, token, f"c-{number}")
        _, listener = await loop.create_connection(make, parts.hostname or "", parts.port or 80)
        await listener.opened()
        listeners.append(listener)
    await _step()
    for listener in listeners:
        await listener.subscribe()
    await _step()
    for listener in listeners:
        listener.ask()
    for listener in listeners:
        await listener.done.wait()
    await _step(json.dumps(asdict(_total([listener.text for listener in listeners]))))


async def _step(told: str = "") -> None:
    print(told, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def _total(texts: list[_Text]) -> Heard:
    lags = [lag for text in texts for lag in text.lags]
    cuts = statistics.quantiles(lags, n=100) if len(lags) > 1 else [0.0] * 99
    return Heard(
        deltas=len(lags),
        frames=sum(text.frames for text in texts),
        gaps=sum(text.gaps for text in texts),
        renewed=sum(max(0, text.snapshots - 1) for text in texts),
        unfinished=sum(not text.whole for text in texts),
        p50_ms=cuts[49] * 1e3,
        p99_ms=cuts[98] * 1e3,
        cpu_s=time.process_time(),
    )


class Listeners:
    """The sockets, open in a process of their own; each method is one step, in this order."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self._answer()

    def subscribe(self) -> None:
        """Return once all are subscribed to a conversation each."""
        self._go()
        self._answer()

    def ask(self) -> None:
        """Let all ask for an answer, at once."""
        self._go()

    def heard(self) -> Heard:
        """Return once all answers are complete."""
        return Heard(**json.loads(self._answer()))

    def _go(self) -> None:
        self._in.write("\n")
        self._in.flush()

    def _answer(self) -> str:
        line = self._out.readline()
        if not line:
            _gone()
        return line


def _gone() -> NoReturn:
    raise SystemExit("the sockets were not let in")


@contextmanager
def listeners(url: str, token: str, sockets: int) -> Iterator[Listeners]:
    """Open so many sockets in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.listeners", url, "--token", token, "--sockets", str(sockets)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Listeners(process)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--token", required=True)
    parser.add_argument("--sockets", type=int, default=1000)
    options = parser.parse_args()
    asyncio.run(_run(options.url, options.token, options.sockets))


if __name__ == "__main__":
    main()
