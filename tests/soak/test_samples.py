"""The verdict on what grows, from samples alone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.soak.samples import Limits, Reading, Sample, judge, rss_slope, slope


def sample(turns: int, *, rss_mb: float = 90.0, idle: bool = False, **more: float) -> Sample:
    values = {"fds": 20, "threads": 8, "tasks": 18, "queue": 0, "deliveries": 0, "wal_mb": 4.0, **more}
    return Sample(
        at_s=turns / 180,
        turns=turns,
        idle=idle,
        process=Reading(
            rss_mb=rss_mb,
            peak_mb=rss_mb,
            fds=int(values["fds"]),
            threads=int(values["threads"]),
            cpu_s=turns * 0.005,
        ),
        tasks=int(values["tasks"]),
        queue=int(values["queue"]),
        deliveries=int(values["deliveries"]),
        wal_mb=values["wal_mb"],
        database_mb=turns * 0.002,
    )


def run(grows_mb: float) -> list[Sample]:
    """A run of 200,000 turns whose memory grows so much with every 10,000, and is restless."""
    dice = random.Random(7)
    busy = [
        sample(n, rss_mb=90 + grows_mb * n / 10_000 + dice.uniform(-3, 3), fds=95, tasks=120)
        for n in range(10_000, 200_000, 1800)
    ]
    return [sample(10_000, idle=True), *busy, sample(200_000, idle=True)]


def test_a_slope_is_that_of_all_points_and_not_of_the_first_and_the_last() -> None:
    assert slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert slope([(0, 50), (1, 0), (2, 0), (3, 0), (4, 50)]) == pytest.approx(0)
    assert slope([(1, 1), (1, 2)]) == slope([(1, 1)]) == slope([]) == 0


def test_a_run_that_is_restless_but_does_not_grow_passes() -> None:
    assert judge(run(0.0), Limits()) == {}
    assert abs(rss_slope(run(0.0))) < 0.2


def test_memory_that_grows_by_a_little_with_each_turn_is_found() -> None:
    found = judge(run(1.5), Limits())
    assert found.keys() == {"rss"}
    assert found["rss"].startswith("1.")
    assert "for each 10,000 turns" in found["rss"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("descriptors", {"fds": 23}),
        ("threads", {"threads": 11}),
        ("tasks", {"tasks": 21}),
        ("left", {"queue": 1}),
        ("left", {"deliveries": 1}),
    ],
)
def test_what_an_idle_daemon_still_holds_at_the_end_is_found(name: str, more: dict[str, float]) -> None:
    samples = run(0.0)
    samples[-1] = sample(200_000, idle=True, **more)
    assert judge(samples, Limits()).keys() == {name}


def test_a_log_that_was_too_large_once_is_found() -> None:
    samples = run(0.0)
    samples[50] = replace(samples[50], wal_mb=64.5)
    assert judge(samples, Limits()).keys() == {"wal"}
