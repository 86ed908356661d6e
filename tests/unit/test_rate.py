"""The rate of one sender: a bucket that fills again, one word when it is empty, and taking back."""

from __future__ import annotations

from clawd.rate import RateLimit
from clawd.testing import ManualClock


def test_a_sender_may_send_so_many_and_is_told_once() -> None:
    rate = RateLimit("3/min", ManualClock())
    assert [rate.take("a") for _ in range(6)] == ["ok", "ok", "ok", "tell", "silent", "silent"]
    assert rate.take("b") == "ok"


async def test_the_bucket_fills_with_time_and_the_next_overflow_is_told_again() -> None:
    clock = ManualClock()
    rate = RateLimit("2/min", clock)
    assert [rate.take("a") for _ in range(4)] == ["ok", "ok", "tell", "silent"]
    await clock.advance(30)
    assert [rate.take("a") for _ in range(3)] == ["ok", "tell", "silent"]
    await clock.advance(3600)
    assert [rate.take("a") for _ in range(3)] == ["ok", "ok", "tell"], "never more than the bucket holds"


def test_what_was_taken_for_nothing_is_given_back() -> None:
    rate = RateLimit("1/h", ManualClock())
    assert rate.take("a") == "ok"
    rate.give_back("a", "ok")
    assert rate.take("a") == "ok"
    assert rate.take("a") == "tell"
    rate.give_back("a", "tell")
    assert rate.take("a") == "tell", "the word did not reach anybody the first time"
    rate.give_back("a", "silent")
    assert rate.take("a") == "silent"
    rate.give_back("stranger", "ok")


def test_giving_back_never_makes_more_than_the_bucket_holds() -> None:
    rate = RateLimit("1/h", ManualClock())
    rate.take("a")
    for _ in range(5):
        rate.give_back("a", "ok")
    assert [rate.take("a") for _ in range(2)] == ["ok", "tell"]


def test_nothing_passes_a_rate_of_zero() -> None:
    rate = RateLimit("0/min", ManualClock())
    assert [rate.take("a") for _ in range(2)] == ["tell", "silent"]


def test_the_least_recently_seen_senders_are_forgotten() -> None:
    rate = RateLimit("1/h", ManualClock())
    for n in range(10_000):
        rate.take(f"s{n}")
    rate.take("s0")  # seen again
    rate.take("new")
    assert rate.take("s0") == "silent"
    assert rate.take("s1") == "ok"
