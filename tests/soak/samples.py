"""What is read off a daemon while it works, and whether it grows. Pure but for the reading of /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MB: Final = 1_000_000
PORTION: Final = 10_000
"""Turns that slopes are told for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One process, as the kernel sees it."""

    rss_mb: float
    peak_mb: float
    fds: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The daemon at one moment."""

    at_s: float  # since the first turn
    turns: int  # that had ended by then
    idle: bool  # nothing was going on, and what is kept for a while had been let go
    process: Reading
    tasks: int
    queue: int  # turns that wait for a worker
    deliveries: int  # open ones
    wal_mb: float
    database_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may grow how much."""

    rss_mb: float = 1.0  # for each `PORTION` of turns, by regression
    wal_mb: float = 64.0
    more: int = (
        2  # descriptors, tasks and threads of an idle daemon, over those that it had after the warm-up
    )


def read_process(pid: int) -> Reading:
    """Return what /proc tells of a process."""
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
    fields = (folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return Reading(
        rss_mb=int(status["VmRSS"].split()[0]) * 1024 / MB,
        peak_mb=int(status["VmHWM"].split()[0]) * 1024 / MB,
        fds=len(os.listdir(folder / "fd")),  # noqa: PTH208 - a third of the time, and there are thousands
        threads=int(status["Threads"]),
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
    )


def size_mb(path: Path) -> float:
    """Return a file's size, 0 where there is none."""
    return path.stat().st_size / MB if path.exists() else 0.0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much y rises with x: ordinary least squares over all points, 0 where x does not vary."""
    count = len(points)
    if count < 2:
        return 0.0
    mean_x, mean_y = (sum(column) / count for column in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def rss_slope(samples: Sequence[Sample]) -> float:
    """Return the megabytes that a `PORTION` of turns costs, of samples taken under load."""
    return PORTION * slope([(sample.turns, sample.process.rss_mb) for sample in samples if not sample.idle])


def judge(samples: Sequence[Sample], limits: Limits) -> dict[str, str]:
    """Return what grows, in a sentence each, by name.

    Args:
        samples: All after the warm-up, in order; the first and the last are of an idle daemon.
        limits: What is allowed.
    """
    found = {}
    first, last = samples[0], samples[-1]
    grows = rss_slope(samples)
    if grows >= limits.rss_mb:
        found["rss"] = f"{grows:.2f} MB more for each {PORTION:,} turns, {limits.rss_mb:g} are allowed"
    for name, before, after in (
        ("descriptors", first.process.fds, last.process.fds),
        ("threads", first.process.threads, last.process.threads),
        ("tasks", first.tasks, last.tasks),
    ):
        if after > before + limits.more:
            found[name] = f"{after} when idle at the end, {before} after the warm-up"
    wal = max(sample.wal_mb for sample in samples)
    if wal >= limits.wal_mb:
        found["wal"] = f"{wal:.1f} MB, {limits.wal_mb:g} are allowed"
    if last.queue or last.deliveries:
        found["left"] = f"{last.queue} turns and {last.deliveries} deliveries were still open at the end"
    return found
