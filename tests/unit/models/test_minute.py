from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.models.minute import MINUTE_S, SlidingMinute

LIMIT = 100
_GAPS = st.floats(min_value=0, max_value=50, allow_nan=False)
_AMOUNTS = st.integers(min_value=1, max_value=150)


@given(st.lists(st.tuples(_GAPS, _AMOUNTS), max_size=30), st.floats(min_value=0, max_value=1e6))
def test_no_sixty_seconds_hold_more_than_the_limit_and_nobody_waits_longer_than_told(
    steps: list[tuple[float, int]], now: float
) -> None:
    minute = SlidingMinute()
    taken: list[tuple[float, int]] = []
    for gap, amount in steps:
        now += gap
        now += minute.wait_s(amount, LIMIT, now)
        assert minute.wait_s(amount, LIMIT, now) == 0  # the wait was enough, whatever was rounded
        within = [before for at, before in taken if at + MINUTE_S > now]
        assert sum(within) + amount <= LIMIT or not within  # more than the limit goes alone
        minute.take(amount, now)
        taken.append((now, amount))


def test_the_count_of_a_request_that_left_the_minute_changes_nothing() -> None:
    minute = SlidingMinute()
    old = minute.take(90, 0.0)
    assert minute.wait_s(20, LIMIT, 60.0) == 0
    minute.take(90, 60.0)
    minute.correct(old, 0)
    assert minute.wait_s(20, LIMIT, 61.0) == 59.0
