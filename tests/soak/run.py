"""One endurance run: a warm-up, the load, and the verdict on what was answered and what grew."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from tests.soak.samples import PORTION, Limits, Sample, judge, rss_slope
from tests.soak.stage import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.soak.stage import Stage

WARM_UP: Final = 0.1  # of all turns: caches fill, pools grow, the code is compiled
MOST_WARM_UP: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run."""

    turns: int = 200_000
    conversations: int = 4_000
    people: int = 50  # who write at the same time
    seed: int = 1
    every_s: float = 10.0  # between two samples
    rest_s: float = 120.0  # for what is kept open for a while, before and after the load
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it; `broken` is empty when everything held."""

    plan: Plan
    broken: dict[str, str]
    took_s: float  # for all turns but the warm-up
    slope_mb: float  # resident memory for each `PORTION` of turns
    warmed_up: int  # turns
    samples: list[Sample]

    @property
    def per_s(self) -> float:
        """Turns a second, the warm-up not counted."""
        return (self.samples[-1].turns - self.warmed_up) / self.took_s

    def as_json(self) -> str:
        """Return all of it, for programs."""
        return json.dumps({**asdict(self), "per_s": self.per_s}, indent=1)

    def table(self) -> str:
        """Return the figures for people."""
        first, last = self.samples[0], self.samples[-1]
        busy = [sample for sample in self.samples if not sample.idle]
        cpu_ms = (last.process.cpu_s - first.process.cpu_s) / (last.turns - first.turns) * 1000
        rows: list[tuple[str, str, str, str]] = [
            ("", "after the warm-up", "at the end", "most"),
            ("turns", f"{first.turns:,}", f"{last.turns:,}", ""),
            _row("resident memory (MB)", self.samples, lambda s: s.process.rss_mb),
            _row("descriptors", self.samples, lambda s: s.process.fds),
            _row("tasks", self.samples, lambda s: s.tasks),
            _row("threads", self.samples, lambda s: s.process.threads),
            _row("turns that wait for a worker", self.samples, lambda s: s.queue),
            _row("open deliveries", self.samples, lambda s: s.deliveries),
            _row("WAL (MB)", self.samples, lambda s: s.wal_mb),
            _row("database (MB)", self.samples, lambda s: s.database_mb),
            (f"memory for each {PORTION:,} turns (MB)", "", f"{self.slope_mb:.2f}", f"{len(busy)} samples"),
            ("turns a second", "", f"{self.per_s:.0f}", ""),
            ("CPU of the daemon a turn (ms)", "", f"{cpu_ms:.2f}", ""),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(
                [
                    row[0].ljust(widths[0]),
                    *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
                ]
            ).rstrip()
            for row in rows
        ]
        broken = [f"BROKEN {name}: {sentence}" for name, sentence in self.broken.items()]
        return "\n".join(
            [*lines, "", *(broken or ["every message was answered exactly once; nothing grows"])]
        )


async def run(
    home: Path, plan: Plan, say: Callable[[str], None], environ: Mapping[str, str] | None = None
) -> Result:
    """Run a plan on a daemon in this folder, and tell how it goes."""
    warm_up = min(round(plan.turns * WARM_UP), MOST_WARM_UP)
    async with stage(home, conversations=plan.conversations, seed=plan.seed, environ=environ) as here:
        more = plan.limits.more
        fresh = await here.rest(None, more, plan.rest_s)
        await here.talk(warm_up, plan.people)
        await here.rest(fresh, more, plan.rest_s)
        del here.samples[:-1]
        began = here.samples[0]
        say(f"warmed up by {warm_up:,} turns: {_line(began)}")
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(here, plan, say))
            await here.talk(plan.turns - warm_up, plan.people)
            watch.cancel()
        took_s = (await here.sample()).at_s - began.at_s
        await here.rest(began, 0, plan.rest_s)
        broken = {**here.ledger.broken, **judge(here.samples, plan.limits)}
        if here.model.strange:
            broken["tools"] = f"{len(here.model.strange)}: {here.model.strange[:5]}"
        return Result(
            plan=plan,
            broken=broken,
            took_s=took_s,
            slope_mb=rss_slope(here.samples),
            warmed_up=warm_up,
            samples=here.samples,
        )


async def _watch(here: Stage, plan: Plan, say: Callable[[str], None]) -> None:
    """Take samples, and say what they show and when it will be over."""
    began = here.samples[0]
    while True:
        await asyncio.sleep(plan.every_s)
        sample = await here.sample()
        pace = (sample.turns - began.turns) / (sample.at_s - began.at_s)
        left_min = (plan.turns - sample.turns) / max(pace, 0.1) / 60
        lost = f", LOST or late: {late}" if (late := here.late) else ""
        say(
            f"{sample.turns:,} of {plan.turns:,} turns, {pace:.0f}/s, {left_min:.1f} min left; {_line(sample)}{lost}"
        )


def _line(sample: Sample) -> str:
    process = sample.process
    return (
        f"{process.rss_mb:.1f} MB, {process.fds} fds, {sample.tasks} tasks, {process.threads} threads, "
        f"WAL {sample.wal_mb:.1f} MB, database {sample.database_mb:.0f} MB"
    )


def _row(name: str, samples: list[Sample], pick: Callable[[Sample], float]) -> tuple[str, str, str, str]:
    def shown(value: float) -> str:
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"

    first, last = pick(samples[0]), pick(samples[-1])
    return name, shown(first), shown(last), shown(max(map(pick, samples)))
