"""Clients that post messages as fast as they are answered: `python -m benchmarks.http_load URL [--clients N]`.

A process of its own, on bare sockets, so that it costs a fraction of what it measures. It prints one line of
JSON, a `Load`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

TEXT: Final = "what is on my list for today, and what can wait?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the clients saw."""

    answers: int  # with the status that was expected
    others: int
    total: int  # answers, with those of the time in which nothing counts
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_s: float  # of the clients

    @property
    def per_s(self) -> float:
        return self.answers / self.seconds


@dataclass(slots=True, kw_only=True)
class _Counts:
    """What all clients of a process have seen since `begin`."""

    begin: float
    end: float
    took: list[float]
    others: int = 0
    total: int = 0


class _Client(asyncio.Protocol):
    """One connection that is kept open: the next request goes out when the answer to the last one is whole."""

    def __init__(self, request: bytes, counts: _Counts, done: asyncio.Event) -> None:
        self._request = request
        self._counts = counts
        self._done = done
        self._seen = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.is_set():
            self._counts.others += 1
            self._done.set()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        if not end:
            return
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) < int(rest.partition(b"\r\n")[0]):
            return
        now, counts = time.perf_counter(), self._counts
        counts.total += 1
        if self._sent >= counts.begin and now < counts.end:
            if head[9:12] == b"202":
                counts.took.append(now - self._sent)
            else:
                counts.others += 1
        if now < counts.end:
            self._seen = b""
            self._send()
        else:
            self._done.set()
            self._transport.close()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--token", default="none")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm", type=float, default=1.0, help="seconds before anything counts")
    options = parser.parse_args()
    loaded = asyncio.run(
        _run(options.url, options.token, options.clients, seconds=options.seconds, warm_s=options.warm)
    )
    print(json.dumps(asdict(loaded)))


def load(url: str, *, clients: int, seconds: float, token: str = "none") -> Load:  # noqa: S107 - of nobody
    """Return what so many clients see, who post to `/v1/messages` in a process of their own."""
    arguments = ["--clients", str(clients), "--seconds", str(seconds), "--token", token]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_load", url, *arguments], check=True, stdout=subprocess.PIPE
    )
    return Load(**json.loads(done.stdout))


async def _run(url: str, token: str, clients: int, *, seconds: float, warm_s: float) -> Load:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    begin = time.perf_counter() + warm_s
    counts = _Counts(begin=begin, end=begin + seconds, took=[])
    ends = [asyncio.Event() for _ in range(clients)]
    for number, end in enumerate(ends):
        request = _request(parts.netloc, token, f"load-{number}")
        client = partial(_Client, request, counts, end)
        await loop.create_connection(client, parts.hostname or "", parts.port or 80)
    for end in ends:
        await end.wait()
    cuts = statistics.quantiles(counts.took, n=100) if len(counts.took) > 1 else [0.0] * 99
    return Load(
        answers=len(counts.took),
        others=counts.others,
        total=counts.total,
        seconds=seconds,
        p50_ms=cuts[49] * 1e3,
        p95_ms=cuts[94] * 1e3,
        p99_ms=cuts[98] * 1e3,
        cpu_s=time.process_time(),
    )


def _request(host: str, token: str, conversation: str) -> bytes:
    body = json.dumps({"text": TEXT, "conversation": conversation}).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
