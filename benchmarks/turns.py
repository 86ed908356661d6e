"""What a turn costs, Telegram in to Telegram out, against a model that answers at once: `python -m benchmarks.turns`."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.daemon import daemon, fake_model
from benchmarks.table import Cell, table
from tests.fakes.bot_api_remote import RemoteBotApi, bot_api_process

RUNS = 3
CONVERSATIONS = 50
TURNS = 600
SINGLE = 40


def main() -> None:
    """Print the table."""
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


def _sections(api: RemoteBotApi, base_url: str) -> dict[str, object]:
    return {
        "bridges": {"telegram": {"token": api.token, "api_base": api.url, "allow": ["*"]}},
        "models": [{"name": "fake", "type": "chat", "base_url": base_url, "model": "fake-1"}],
    }


def _load() -> tuple[float, float]:
    """Return CPU milliseconds a turn and turns a second under load."""
    with bot_api_process() as api, fake_model() as base_url, daemon(**_sections(api, base_url)) as running:
        api.user_says(1, "warm up")
        api.wait_for_messages(1, 1, timeout_s=20)
        before, began = running.cpu_s(), time.perf_counter()
        for turn in range(TURNS):
            api.user_says(100 + turn % CONVERSATIONS, f"message {turn}")
        for chat in range(100, 100 + CONVERSATIONS):
            api.wait_for_messages(chat, TURNS // CONVERSATIONS, timeout_s=120)
        took = time.perf_counter() - began
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
