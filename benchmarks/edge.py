"""What a small box needs: the most memory over many turns, by profile: `python -m benchmarks.edge`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from benchmarks.daemon import Daemon, daemon, fake_model
from benchmarks.table import Cell, table
from clawd.client import Client
from tests.fakes.bot_api_remote import bot_api_process

TURNS = 500
CHATS = 10
_MIB = 1.048576  # in MB; the reach is in units of 1,024 kB as /proc/PID/status counts them
REACH_MB = {"terminal": 64 * _MIB, "telegram": 90 * _MIB}  # VmHWM with `profile: edge`


class Peak(NamedTuple):
    """Megabytes of 1,000,000 bytes."""

    ready: float  # resident once it is ready
    peak: float  # the most that was ever resident: VmHWM
    end: float  # resident after the last turn


class Measure(Protocol):
    """Measures turns that come by one door."""

    def __call__(self, profile: str, turns: int = TURNS) -> Peak: ...


def main() -> None:
    """Print the table."""
    rows: list[list[Cell]] = []
    for profile in ("default", "edge"):
        for door, measure in (("terminal", terminal), ("telegram", telegram)):
            found = measure(profile)
            reach: Cell = REACH_MB[door] if profile == "edge" else ""
            ratio: Cell = found.peak / REACH_MB[door] if profile == "edge" else ""
            rows.append([f"{profile}, {TURNS} turns by {door}", *found, reach, ratio])
    sys.stdout.write("MB of resident memory; a ratio below 1 is within reach\n\n")
    sys.stdout.write(table(["what", "ready", "peak (VmHWM)", "end", "reach", "ratio"], rows) + "\n")


def terminal(profile: str, turns: int = TURNS) -> Peak:
    """Return what a daemon without bridges needs for turns that come through its control socket."""
    with _one(profile) as running:
        ready, client = running.rss_mb(), Client([running.home / "state" / "clawd.sock"], timeout_s=30)
        for turn in range(turns):
            chat = f"chat{turn % CHATS}"
            accepted = client.post("/messages", {"text": f"message {turn}", "conversation": chat})
            view = client.get(f"/turns/{accepted['id']}", wait=30)
            if view["state"] != "answered":
                raise SystemExit(f"turn {turn} is {view['state']}: {view}")
        return Peak(ready, running.peak_mb(), running.rss_mb())


def telegram(profile: str, turns: int = TURNS) -> Peak:
    """Return what a daemon with a Telegram bot needs for turns that come through it."""
    with bot_api_process() as api:
        bot = {"token": api.token, "api_base": api.url, "allow": ["*"]}
        with _one(profile, bridges={"telegram": bot}) as running:
            ready = running.rss_mb()
            for turn in range(turns):
                chat = 100 + turn % CHATS
                api.user_says(chat, f"message {turn}")
                api.wait_for_messages(chat, turn // CHATS + 1, timeout_s=30)
            return Peak(ready, running.peak_mb(), running.rss_mb())


@contextmanager
def _one(profile: str, **sections: object) -> Iterator[Daemon]:
    """Run a daemon with one model on this host."""
    with fake_model() as base_url:
        models = [{"name": "fake", "type": "chat", "base_url": base_url, "model": "fake-1"}]
        own: dict[str, object] = {"profile": profile, "models": models, "gateway": {}, **sections}
        if profile == "default":
            own["gateway"] = {"port": 0}
        with daemon(**own) as running:
            yield running


if __name__ == "__main__":
    main()
