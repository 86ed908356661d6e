"""What clawd costs while nothing happens, and how quick its commands are: `python -m benchmarks.footprint`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.daemon import Daemon, daemon, environ
from benchmarks.table import Cell, table
from tests.fakes.bot_api_remote import bot_api_process

RUNS = 5
CLAWD = str(Path(sys.executable).with_name("clawd"))


def main() -> None:
    """Print the table."""
    rows: list[list[Cell]] = []
    with bot_api_process() as api:
        bridges = {"telegram": {"token": api.token, "api_base": api.url, "poll_timeout_s": 50}}
        cases: tuple[tuple[str, dict[str, object], int, float], ...] = (
            ("Telegram off", {}, 45, 0.4),
            ("Telegram on", {"bridges": bridges}, 85, 1.2),
        )
        for name, sections, reach_mb, reach_cpu in cases:
            figures = [_idle(sections) for _ in range(RUNS)]
            rss, cpu, switches = (statistics.median(column) for column in zip(*figures, strict=True))
            rows.append([f"idle memory, {name} (MB RSS)", rss, reach_mb, rss / reach_mb])
            rows.append([f"start to ready, {name} (CPU s)", cpu, reach_cpu, cpu / reach_cpu])
            rows.append([f"wake-ups in 5 idle seconds, {name}", switches, 0, ""])
    with daemon() as running:
        rows.append(_timed("clawd --version (s)", 0.15, ["--version"], environ(running.home)))
        rows.append(_timed("clawd status (s)", 0.30, ["status"], environ(running.home)))
    sys.stdout.write(f"medians of {RUNS} runs; a ratio below 1 is within reach\n\n")
    sys.stdout.write(table(["what", "measured", "reach", "ratio"], rows) + "\n")


def _idle(sections: dict[str, object]) -> tuple[float, float, float]:
    with daemon(**sections) as running:
        cpu_s = running.cpu_s()
        _until(lambda: _quiet(running))
        _until(lambda: _checkpointed(running))
        rss, before = running.rss_mb(), running.switches()
        time.sleep(5)
        return rss, cpu_s, float(running.switches() - before)


def _quiet(running: Daemon) -> bool:
    before = running.cpu_s()
    time.sleep(0.5)
    return running.cpu_s() == before


def _checkpointed(running: Daemon) -> bool:
    """Whether the writer has put the WAL away, the last thing that follows a start."""
    time.sleep(0.5)
    return (running.home / "state" / "clawd.db-wal").stat().st_size == 0


def _until(condition: Callable[[], bool], attempts: int = 40) -> None:
    for _ in range(attempts):
        if condition():
            return


def _timed(what: str, reach_s: float, arguments: list[str], around: dict[str, str]) -> list[Cell]:
    times = []
    for _ in range(RUNS * 2 + 1):
        began = time.perf_counter()
        subprocess.run([CLAWD, *arguments], env=around, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    median = statistics.median(times[1:])
    return [what, median, reach_s, median / reach_s]


if __name__ == "__main__":
    main()
