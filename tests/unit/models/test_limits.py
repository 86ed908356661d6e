from __future__ import annotations

import pytest

from clawd.models.limits import LimitExceeded, StreamGuard, StreamLimits

LIMITS = StreamLimits(
    connect_s=5,
    first_token_s=20,
    idle_s=30,
    total_s=300,
    min_bytes_per_s=20,
    rate_window_s=30,
    max_bytes=10_000,
)


def _take(guard: StreamGuard, arrivals: list[tuple[int, float]]) -> None:
    for size, at in arrivals:
        guard.took(size, at)


def test_until_the_first_token_its_own_limit_holds_and_bytes_do_not_move_it() -> None:
    guard = StreamGuard(LIMITS, 100.0)
    guard.took(5, 115.0)
    assert guard.deadline() == (120.0, "first token")


def test_after_the_first_token_the_idle_limit_follows_the_last_bytes() -> None:
    guard = StreamGuard(LIMITS, 100.0)
    guard.took(5000, 110.0)
    guard.token(110.0)
    guard.took(5000, 125.0)
    assert guard.deadline() == (155.0, "idle")


def test_the_total_limit_ends_a_stream_that_never_pauses() -> None:
    guard = StreamGuard(LIMITS, 0.0)
    guard.token(0.0)
    for second in range(0, 300, 10):
        guard.took(300, second)
    assert guard.deadline() == (300.0, "total")
    with pytest.raises(LimitExceeded, match="longer than 300 s") as caught:
        guard.took(300, 300.5)
    assert caught.value.kind == "total"


def test_a_drip_that_keeps_the_idle_limit_quiet_is_caught_by_its_rate() -> None:
    guard = StreamGuard(LIMITS, 0.0)
    guard.token(0.0)
    with pytest.raises(LimitExceeded, match="fewer than 20 bytes a second") as caught:
        _take(guard, [(1, second) for second in range(5, 60, 5)])
    assert caught.value.kind == "rate"


def test_twenty_bytes_a_second_are_enough() -> None:
    guard = StreamGuard(LIMITS, 0.0)
    guard.token(0.0)
    for second in range(1, 120):
        guard.took(20, second)


def test_keep_alives_are_signs_of_life_though_they_are_short() -> None:
    guard = StreamGuard(LIMITS, 0.0)
    for second in range(15, 120, 15):
        guard.took(14, second)
        guard.keepalive(second)


def test_an_endless_answer_is_cut_at_the_byte_limit() -> None:
    guard = StreamGuard(LIMITS, 0.0)
    with pytest.raises(LimitExceeded, match="longer than 10000 bytes") as caught:
        _take(guard, [(1000, 1.0)] * 100)
    assert caught.value.kind == "size"
