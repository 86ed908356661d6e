"""From SIGKILL to the reply that was being made, with an old journal and a new one: `python -m benchmarks.recovery`.

A chat asks, the model holds, the daemon is killed and started again at once; the clock runs from the kill to
the reply at the fake Bot API. The fakes live in this process and outlive the daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from benchmarks.daemon import ROOT, cpu_s
from benchmarks.filling import CONVERSATIONS, Filling, fill
from benchmarks.table import Cell, table
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.openai_api import FakeOpenAI, Reply

RUNS = 5
ROWS = 1_000_000
REACH_S = 1.5
STATUS_REACH_S = 0.30
FIRST_CHAT = 100_000
TOKEN = "benchmark-token"  # noqa: S105 - of a daemon on loopback, for as long as the measurement
PARTS = (
    "process started, configuration read",
    "database open, parts built",
    "unfinished work found",
    "ready",
    "model asked again",
    "reply received",
)
"""What has happened at each of a restart's times, in order; the time to the last is the figure of the reach."""
CPU = "CPU of the daemon by then"


class Moments:
    """When things were first seen."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._events: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def note(self, name: str, at: float) -> None:
        """Keep the moment if it is the first of its name."""
        self._at.setdefault(name, at)
        self._events[name].set()

    async def of(self, name: str) -> float:
        """Return a moment once it has come."""
        async with asyncio.timeout(60):
            await self._events[name].wait()
        return self._at[name]


class Site:
    """A state directory, its daemon, and fakes that outlive it."""

    def __init__(self, home: Path, telegram: FakeBotApi, model: FakeOpenAI) -> None:
        self.home = home
        self.telegram = telegram
        self.model = model
        self.url = ""
        self._daemon: asyncio.subprocess.Process | None = None
        self._seen = Moments()
        self._settings()

    def _settings(self) -> None:
        telegram = {"token": self.telegram.token, "api_base": self.telegram.url, "allow": ["*"]}
        config = {
            "models": [{"name": "main", "type": "chat", "base_url": self.model.base_url, "model": "fake-1"}],
            "bridges": {"telegram": telegram},
            "gateway": {"port": 0, "tokens": [{"name": "bench", "token": TOKEN}]},
            "access": {"rate": "100000/s"},
        }
        path = self.home / "config.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")

    # --- the daemon -------------------------------------------------------------------------------------

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start the daemon and return while it is still starting; `_seen` gets the moments of its parts."""
        self._seen = Moments()
        daemon = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "clawd.daemon",
            env={**os.environ, "CLAWD_HOME": str(self.home)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._daemon = daemon
        assert daemon.stdout is not None
        assert daemon.stderr is not None
        tasks.create_task(self._read(daemon.stdout, {b"clawd is ready": "ready"}))
        tasks.create_task(
            self._read(daemon.stderr, {b"control_listening": "open", b'"recovered"': "recovered"})
        )
        tasks.create_task(self._watch_lock(daemon.pid))

    async def _read(self, stream: asyncio.StreamReader, marks: dict[bytes, str]) -> None:
        while line := await stream.readline():
            now = time.perf_counter()
            for mark, name in marks.items():
                if mark in line:
                    self._seen.note(name, now)
            if line.strip().startswith(b"gateway:"):
                self.url = line.split()[1].decode()

    async def _watch_lock(self, pid: int) -> None:
        """The lock names its holder: when it is taken, Python has started and the configuration is read."""
        path = self.home / "state" / "lock"
        while self._daemon is not None and self._daemon.returncode is None:
            with suppress(OSError, ValueError, KeyError):
                if json.loads(path.read_bytes())["pid"] == pid:
                    self._seen.note("locked", time.perf_counter())
                    return
            await asyncio.sleep(0.001)

    async def end(self, number: signal.Signals) -> None:
        """Send a signal and return when the daemon is gone."""
        assert self._daemon is not None
        self._daemon.send_signal(number)
        await self._daemon.wait()

    # --- what is measured -------------------------------------------------------------------------------

    async def restart(self, chat: int) -> list[float]:
        """Kill the daemon while the model holds a turn of this chat; return the seconds of `PARTS` and of `CPU`."""
        asked, sent = len(self.model.requests), len(self.telegram.sent(chat))
        self.model.replies.append(Reply(hang="headers"))
        async with asyncio.TaskGroup() as tasks:
            await self.start(tasks)
            await self._seen.of("ready")
            self.telegram.user_says(chat, "and who is to look at it now?")
            await self.model.arrived(asked + 1)
            began = time.perf_counter()
            await self.end(signal.SIGKILL)
        async with asyncio.TaskGroup() as tasks:
            await self.start(tasks)
            await self.model.arrived(asked + 2)
            model = time.perf_counter()
            await self.telegram.wait_for_messages(chat, sent + 1, 60)
            reply = time.perf_counter()
            names = ("locked", "open", "recovered", "ready")
            assert self._daemon is not None
            cpu = cpu_s(self._daemon.pid)
            moments = [*[await self._seen.of(name) for name in names], model, reply]
            await self.end(signal.SIGTERM)
        return [*(moment - began for moment in moments), cpu]

    async def first_words(self) -> tuple[float, float]:
        """Return seconds of `clawd status` and of the first message taken after a start."""
        async with asyncio.TaskGroup() as tasks:
            await self.start(tasks)
            await self._seen.of("ready")
            accept_s = await self._accept()
            command = str(Path(sys.executable).with_name("clawd"))
            times = []
            for _ in range(3):
                began = time.perf_counter()
                status = await asyncio.create_subprocess_exec(
                    command,
                    "status",
                    env={**os.environ, "CLAWD_HOME": str(self.home)},
                    stdout=subprocess.DEVNULL,
                )
                assert await status.wait() == 0
                times.append(time.perf_counter() - began)
            await self.end(signal.SIGTERM)
        return statistics.median(times), accept_s

    async def _accept(self) -> float:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.get(f"{self.url}/healthz"):  # the connection is not what is measured
                pass
            began = time.perf_counter()
            async with session.post(f"{self.url}/v1/messages", json={"text": "hi"}) as reply:
                assert reply.status == 202
                return time.perf_counter() - began


@asynccontextmanager
async def site(rows: int) -> AsyncIterator[Site]:
    """A state directory with so many rows in its journal, and fakes; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="clawd-bench-", dir="/tmp") as folder:  # short, for the socket
        home = Path(folder)
        async with FakeBotApi() as telegram, FakeOpenAI() as model:
            if rows:
                bot = telegram.token.partition(":")[0]
                await fill(
                    home / "state", Filling(bridge="telegram", account=bot, first_chat=FIRST_CHAT, rows=rows)
                )
            yield Site(home, telegram, model)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of one site: the seconds of `PARTS` and `CPU`, and those of status and first acceptance."""

    restart: list[float]
    words: list[float]


async def measure(rows: int, runs: int) -> tuple[Figures, Figures]:
    """Return the figures with so many rows and with none, taken in turns: other work disturbs both alike."""
    async with site(rows) as full, site(0) as empty:
        sites = (full, empty)
        for here in sites:
            await here.restart(FIRST_CHAT)  # warms the caches of files, as a host's are that has been up
        restarts: list[list[list[float]]] = [[], []]
        words: list[list[tuple[float, float]]] = [[], []]
        for run in range(1, runs + 1):
            for here, taken, said in zip(sites, restarts, words, strict=True):
                taken.append(await here.restart(FIRST_CHAT + CONVERSATIONS // (runs + 1) * run))
                said.append(await here.first_words())
    first, second = (Figures(_medians(r), _medians(w)) for r, w in zip(restarts, words, strict=True))
    return first, second


def _medians(samples: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(column) for column in zip(*samples, strict=True)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    full, empty = asyncio.run(measure(options.rows, options.runs))
    sys.stdout.write(
        f"seconds after SIGKILL, started again at once; medians of {options.runs} runs;"
        f" reach: the reply within {REACH_S} s\n\n"
    )
    header = [f"{options.rows:,} rows", "empty", "ratio", "of the reach"]
    rows: list[list[Cell]] = [
        [name, a, b, a / b, a / REACH_S if name == PARTS[-1] else ""]
        for name, a, b in zip((*PARTS, CPU), full.restart, empty.restart, strict=True)
    ]
    sys.stdout.write(table(["what has happened", *header], rows) + "\n\n")
    names = (("clawd status (s)", STATUS_REACH_S), ("first message accepted after a start (s)", None))
    rows = [
        [name, a, b, a / b, a / reach if reach else ""]
        for (name, reach), a, b in zip(names, full.words, empty.words, strict=True)
    ]
    sys.stdout.write(table(["what", *header], rows) + "\n")


if __name__ == "__main__":
    main()
