"""What the gateway holds: messages a second, WebSockets that stream and that idle: `python -m benchmarks.gateway`."""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.bare_http import bare_http
from benchmarks.daemon import Daemon, cpu_s, daemon, fake_model
from benchmarks.http_load import TEXT, Load, load
from benchmarks.journal import conversation
from benchmarks.listeners import listeners
from benchmarks.pulse import pulse
from benchmarks.table import Cell, table
from clawd.client import Client
from clawd.store.opening import open_database

RUNS: Final = 3
CLIENTS: Final = 100
SECONDS: Final = 3.0
SOCKETS: Final = 1000
DELTAS: Final = 100
EVERY_S: Final = 0.1
REACH_PER_S: Final = 1500.0
REACH_P99_MS: Final = 100.0
REACH_KB: Final = 30.0
SPARE_FILES: Final = 200
TOKEN: Final = "a-token-for-the-benchmark"  # noqa: S105 - of a daemon that lives for seconds


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--sockets", type=int, default=SOCKETS)
    parser.add_argument("--only", choices=["accept", "sockets"], help="one of the two tables")
    options = parser.parse_args()
    if options.only != "sockets":
        _print(f"{CLIENTS} clients, medians of {options.runs} runs in turns", _accepting(options.runs))
    if options.only != "accept":
        sockets = _possible(options.sockets)
        _print(f"{sockets:,} WebSockets, a conversation on each", _streaming(sockets))


def _print(what: str, rows: list[list[Cell]]) -> None:
    sys.stdout.write(f"{what}; a ratio below 1 is within reach\n\n")
    sys.stdout.write(table(["what", "measured", "reach", "ratio"], rows) + "\n\n")
    sys.stdout.flush()


@contextmanager
def _gateway(base_url: str, **sections: Any) -> Iterator[tuple[Daemon, str]]:
    """Run a daemon with a model; yields it and its gateway's URL."""
    model = {"name": "fake", "type": "chat", "base_url": base_url, "model": "fake-1"}
    gateway = {"port": 0, "tokens": [{"name": "bench", "token": TOKEN}], "max_sockets": SOCKETS + 10}
    sections = {"models": [model], "gateway": gateway, "journal": {"max_queue": 10**9}, **sections}
    with daemon(**sections) as running:
        status = Client([running.home / "state" / "clawd.sock"]).get("/status")
        yield running, status["gateway"]


# --- messages -----------------------------------------------------------------------------------------------


def _accepting(runs: int) -> list[list[Cell]]:
    alone: list[tuple[Load, float]] = []
    beside: list[tuple[Load, float]] = []
    bare: list[tuple[Load, float]] = []
    rows: list[float] = []
    for _ in range(runs):
        alone.append(_accept(waiting=True))
        bare.append(_bare())
        rows.append(_commits())
        beside.append(_accept(waiting=False))
    ours, plain, at_work = _Median(alone), _Median(bare), _Median(beside)
    per_s = statistics.median(rows)
    wrong = sum(load.others for load, _ in (*alone, *beside, *bare))
    return [
        ["messages accepted a second, their turns wait", ours.per_s, REACH_PER_S, REACH_PER_S / ours.per_s],
        ["  p50 / p95 (ms)", f"{ours.p50_ms:.0f} / {ours.p95_ms:.0f}", "", ""],
        ["  p99 (ms)", ours.p99_ms, REACH_P99_MS, ours.p99_ms / REACH_P99_MS],
        ["  CPU of the daemon for each (µs)", ours.cpu_us, "", ""],
        ["answers a second of the bare HTTP library", plain.per_s, "", ""],
        ["  its CPU for each (µs)", plain.cpu_us, "", ""],
        ["messages a second into bare tables, a hundred a commit", per_s, "", ""],
        ["messages accepted a second beside their turns", at_work.per_s, "", ""],
        ["  p99 (ms)", at_work.p99_ms, "", ""],
        ["CPU of the daemon over that of the bare library", ours.cpu_us / plain.cpu_us, "", ""],
        ["CPU of the clients for each (µs)", ours.clients_us, "", ""],
        ["answers other than 202", wrong, 0, float(wrong)],
    ]


class _Median:
    """The medians of several loads, each with the CPU seconds of the server."""

    def __init__(self, loads: list[tuple[Load, float]]) -> None:
        def middle(value: Callable[[Load], float]) -> float:
            return statistics.median(value(load) for load, _ in loads)

        self.per_s = middle(lambda load: load.per_s)
        self.p50_ms = middle(lambda load: load.p50_ms)
        self.p95_ms = middle(lambda load: load.p95_ms)
        self.p99_ms = middle(lambda load: load.p99_ms)
        self.clients_us = middle(lambda load: load.cpu_s / load.total * 1e6)
        self.cpu_us = statistics.median(cpu / load.total * 1e6 for load, cpu in loads)


def _accept(*, waiting: bool) -> tuple[Load, float]:
    """Return what clients of a daemon see whose turns all wait, for a model that never answers, or run beside it."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as script:
        json.dump({"default": {"hang": "headers"} if waiting else {}}, script)
        script.flush()
        with (
            fake_model(Path(script.name)) as base_url,
            _gateway(base_url, agent={"concurrency": 1 if waiting else 32}) as (running, url),
        ):
            before = running.cpu_s()
            seen = load(url, clients=CLIENTS, seconds=SECONDS, token=TOKEN)
            return seen, running.cpu_s() - before


def _bare() -> tuple[Load, float]:
    with bare_http() as (url, pid):
        before = cpu_s(pid)
        seen = load(url, clients=CLIENTS, seconds=SECONDS)
        return seen, cpu_s(pid) - before


def _commits() -> float:
    """Return messages a second of a plain loop that writes their rows and commits after each hundred."""
    with tempfile.TemporaryDirectory(prefix="clawd-bench-") as folder:
        opened = open_database(Path(folder), lambda _: 0, lock_timeout_s=5)
        db, count, begun = opened.db, 0, time.perf_counter()
        convs = [conversation(db) for _ in range(CLIENTS)]
        while (spent := time.perf_counter() - begun) < SECONDS / 3:
            db.execute("BEGIN IMMEDIATE")
            for conv in convs:
                _write(db, conv, count // CLIENTS + 1)
                count += 1
            db.execute("COMMIT")
        db.close()
        opened.lock.release()
        return count / spent


def _write(db: sqlite3.Connection, conv: int, seq: int) -> None:
    """Write what an accepted message is: its body, its place, that it came, and that it is known."""
    now = 1767268800000
    db.execute(
        "INSERT INTO inbox (conv, seq, state, \"right\", at, v, body) VALUES (?, ?, 'queued', 'chat', ?, 1, ?)",
        (conv, seq, now, json.dumps({"id": f"api:bench:{conv}:{seq}", "parts": [TEXT], "x": "x" * 200})),
    )
    db.execute("UPDATE conv SET last_seq = ?, ready_at = ? WHERE id = ?", (seq, now, conv))
    db.execute(
        "INSERT INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body)"
        " VALUES (?, ?, 0, 0, 'accepted', 1, 0, ?, '')",
        (conv, seq, now),
    )
    db.execute(
        "INSERT INTO dedup (key, conv, seq, body_sha256, at) VALUES (?, ?, ?, ?, ?)",
        (f"api:bench:new:{conv:016}{seq:016}", conv, seq, "d" * 64, now),
    )


# --- WebSockets ---------------------------------------------------------------------------------------------


def _possible(sockets: int) -> int:
    """Let this process and its children have descriptors for so many sockets, or say for how many there are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * sockets + SPARE_FILES  # in the daemon each has one, and one for the stream of its model
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        sockets = (most - SPARE_FILES) // 2
        sys.stdout.write(f"the system allows {most:,} open files, which is enough for {sockets:,} sockets\n")
    return sockets


def _streaming(sockets: int) -> list[list[Cell]]:
    sections = {
        "agent": {"concurrency": sockets},
        # The answers are held back until all have been asked for.
        "breaker": {"first_token_s": 250, "first_token_timeout_s": 250, "hedge": False},
    }
    with pulse(sockets, DELTAS, EVERY_S) as model, _gateway(model.base_url, **sections) as (running, url):
        with listeners(url, TOKEN, 10):  # what the first ones load is no cost of the others
            before = running.rss_mb()
        with listeners(url, TOKEN, sockets) as clients:
            idle_kb = (running.rss_mb() - before) * 1000 / sockets
            clients.subscribe()
            subscribed_kb = (running.rss_mb() - before) * 1000 / sockets
            clients.ask()
            begun, cpu = model.wait(), running.cpu_s()
            sent_s = model.wait() - begun
            heard = clients.heard()
            cpu = running.cpu_s() - cpu
    lost = sockets * DELTAS - heard.deltas + heard.gaps + heard.renewed + heard.unfinished
    return [
        ["memory of an idle socket (kB)", idle_kb, REACH_KB, idle_kb / REACH_KB],
        ["  with a subscription (kB)", subscribed_kb, REACH_KB, subscribed_kb / REACH_KB],
        [f"deltas lost of {sockets * DELTAS:,}, and frames out of place", lost, 0, float(lost)],
        [
            "  from the model to the client, p50 / p99 (ms)",
            f"{heard.p50_ms:.0f} / {heard.p99_ms:.0f}",
            "",
            "",
        ],
        ["  sent by the model in a second, of all", heard.deltas / sent_s, "", ""],
        ["  CPU of the daemon for each, with the ends of the turns (µs)", cpu / heard.deltas * 1e6, "", ""],
        ["  in a frame", heard.deltas / max(1, heard.frames), "", ""],
    ]


if __name__ == "__main__":
    main()
