from __future__ import annotations

import random

import pytest

from clawd.alerts.windows import STEPS, Increase, Peak, percentile


def test_increase_is_of_the_window_alone() -> None:
    window = Increase(300, 0.0, (0.0,))
    assert window.read(10, (5,)) == (5,)
    assert window.read(200, (7,)) == (7,)
    assert window.read(309, (7,)) == (7,)
    assert window.read(310, (7,)) == (2,)
    assert window.read(500, (7,)) == (0,)


def test_increase_after_a_long_silence_is_what_came_behind_it() -> None:
    window = Increase(300, 0.0, (0.0,))
    window.read(1, (1,))
    window.read(3, (2,))
    assert window.read(10_000, (2,)) == (0,)
    assert window.read(10_005, (3,)) == (1,)


def test_increase_keeps_few_readings_and_is_exact_to_within_a_step() -> None:
    window, chance = Increase(300, 0.0, (0.0,)), random.Random(7)
    now, count, all_ = 0.0, 0, [(0.0, 0)]
    for _ in range(1000):
        now += chance.choice([0.1, 1, 5, 40])
        count += chance.choice([0, 1, 3])
        all_.append((now, count))
        (found,) = window.read(now, (count,))
        all_ = [(at, n) for at, n in all_ if at >= now - 400 or at == 0]
        oldest = max(n for at, n in all_ if at <= max(now - 300, 0))
        reach = now - 300 - 2 * 300 / STEPS
        older = max((n for at, n in all_ if at <= reach), default=0)
        assert count - oldest <= found <= count - older
        assert len(window) <= 2 * STEPS + 2


def test_who_begins_to_count_anew_has_no_increase() -> None:
    window = Increase(300, 0.0, (10.0, 1.0))
    window.read(5, (20, 2))
    assert window.read(10, (3, 2)) == (0, 0)
    assert window.read(15, (4, 2)) == (1, 0)
    assert window.read(20, (4, 2, 0)) == (0, 0, 0), "it counts in other buckets now"


def test_peak_is_the_greatest_of_the_window() -> None:
    peak = Peak(60)
    assert [peak.read(at, n) for at, n in ((0, 1), (10, 3), (20, 2), (69, 0), (70, 0), (80, 0))] == [
        1, 3, 3, 3, 2, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [
        ((10, 0, 0, 0), 0.95, 0.95),  # within the first bucket, which begins at 0
        ((0, 20, 0, 0), 0.5, 1.5),
        ((90, 5, 5, 0), 0.95, 2.0),
        ((90, 4, 6, 0), 0.95, 2.0 + 2.0 / 6),
        ((1, 0, 0, 99), 0.95, 4.0),  # how far above is not known
    ],
)
def test_percentile_lies_on_a_straight_line_within_its_bucket(
    counts: tuple[int, ...], share: float, value: float
) -> None:
    assert percentile((1.0, 2.0, 4.0), counts, share) == pytest.approx(value)
