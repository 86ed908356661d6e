"""What a turn costs, Telegram in to Telegram out, against a model that answers at once: `python -m benchmarks.turns`.

With `--traces` only what traces for OpenTelemetry add to it: runs with and without a collector, in turns.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.daemon import daemon, fake_model
from benchmarks.table import Cell, table
from tests.fakes.bot_api_remote import RemoteBotApi, bot_api_process

RUNS = 3
CONVERSATIONS = 50
TURNS = 600
SINGLE = 40
SENT_S = 4.0  # after the last turn its spans are gathered and sent


def main() -> None:
    """Print the table."""
    if "--traces" in sys.argv[1:]:
        _traces()
        return
    loads = [_load() for _ in range(RUNS)]
    cpu_ms, per_s = (statistics.median(column) for column in zip(*loads, strict=True))
    latency_ms = statistics.median(_latency() for _ in range(RUNS))
    streamed_s = statistics.median(_streamed() for _ in range(RUNS))
    rows: list[list[Cell]] = [
        ["CPU a turn (ms)", cpu_ms, 5.0, cpu_ms / 5],
        [f"turns a second, {CONVERSATIONS} conversations, fakes beside it", per_s, 200, 200 / per_s],
        ["update sent to reply received, one conversation, p50 (ms)", latency_ms, 15.0, latency_ms / 15],
        [
            "CPU of one answer of 20,000 characters streamed in 5,000 pieces (s)",
            streamed_s,
            1.5,
            streamed_s / 1.5,
        ],
    ]
    sys.stdout.write(f"medians of {RUNS} runs; a ratio below 1 is within reach\n\n")
    sys.stdout.write(table(["what", "measured", "reach", "ratio"], rows) + "\n")


def _traces() -> None:
    """Print what traces add. The ratio holds on a busy machine too, as both are measured side by side."""
    without, with_ = [], []
    with collector() as endpoint:
        for _ in range(RUNS):
            without.append(_load()[0])
            with_.append(_load({"logging": {"otel": {"endpoint": endpoint}}}, after_s=SENT_S)[0])
    off, on = statistics.median(without), statistics.median(with_)
    rows: list[list[Cell]] = [["CPU a turn (ms)", off, on, on / off]]
    sys.stdout.write(f"medians of {RUNS} runs each\n\n")
    sys.stdout.write(table(["what", "traces off", "traces on", "ratio"], rows) + "\n")


@contextmanager
def collector() -> Iterator[str]:
    """Yield the address of a collector, in a thread, that takes everything and reads none of it."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _sections(api: RemoteBotApi, base_url: str) -> dict[str, object]:
    return {
        "bridges": {"telegram": {"token": api.token, "api_base": api.url, "allow": ["*"]}},
        "models": [{"name": "fake", "type": "chat", "base_url": base_url, "model": "fake-1"}],
    }


def _load(more: dict[str, object] | None = None, *, after_s: float = 0.0) -> tuple[float, float]:
    """Return CPU milliseconds a turn, with those of so long after it, and turns a second under load."""
    with (
        bot_api_process() as api,
        fake_model() as base_url,
        daemon(**_sections(api, base_url), **(more or {})) as running,
    ):
        api.user_says(1, "warm up")
        api.wait_for_messages(1, 1, timeout_s=20)
        before, began = running.cpu_s(), time.perf_counter()
        for turn in range(TURNS):
            api.user_says(100 + turn % CONVERSATIONS, f"message {turn}")
        for chat in range(100, 100 + CONVERSATIONS):
            api.wait_for_messages(chat, TURNS // CONVERSATIONS, timeout_s=120)
        took = time.perf_counter() - began
        time.sleep(after_s)
        return (running.cpu_s() - before) / TURNS * 1000, TURNS / took


def _latency() -> float:
    """Return the median milliseconds from an update to its reply, one at a time."""
    with bot_api_process() as api, fake_model() as base_url, daemon(**_sections(api, base_url)):
        api.user_says(1, "warm up")
        api.wait_for_messages(1, 1, timeout_s=20)
        times = []
        for turn in range(SINGLE):
            began = time.perf_counter()
            api.user_says(1, f"message {turn}")
            api.wait_for_messages(1, turn + 2, timeout_s=20)
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)


def _streamed() -> float:
    """Return CPU seconds of a long answer that grows in the chat while it is made."""
    reply = {"chunks": ["abc "] * 5000, "chunk_delay_s": 0.001}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as script:
        json.dump({"default": reply}, script)
        script.flush()
        path = Path(script.name)
        with (
            bot_api_process() as api,
            fake_model(path) as base_url,
            daemon(**_sections(api, base_url)) as running,
        ):
            before = running.cpu_s()
            api.user_says(1, "tell me everything")
            api.wait_for_messages(1, 5, timeout_s=120)
            return running.cpu_s() - before


if __name__ == "__main__":
    main()
