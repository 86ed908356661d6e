"""Rates from one answer of a daemon to the next."""

from __future__ import annotations

from clawd.cli.rates import KEPT_S, Rates


def counted(rates: Rates, begin: int, end: int, *, each: float, process: str = "a", start: float = 0) -> None:
    """Answers every second from `begin` to `end`, in which `each` more messages came a second."""
    for at in range(begin, end + 1):
        rates.add(at, process, {"messages": start + each * (at - begin)})


def test_a_rate_is_that_of_the_last_minute() -> None:
    rates = Rates()
    counted(rates, 0, 100, each=10)
    counted(rates, 101, 160, each=0.5, start=1000.5)
    assert rates.per_minute("messages") == 30.0


def test_little_that_was_seen_makes_no_rate() -> None:
    rates = Rates()
    assert (rates.per_minute("messages"), rates.bars("messages"), rates.worst_lag()) == (None, "", None)
    counted(rates, 0, 4, each=1)
    assert rates.per_minute("messages") is None
    counted(rates, 5, 10, each=1, start=5)
    assert rates.per_minute("messages") == 60.0
    assert rates.per_minute("nothing that is counted") == 0.0


def test_a_daemon_that_begins_to_count_anew_has_lost_no_rate_and_none_below_zero() -> None:
    rates = Rates()
    counted(rates, 0, 60, each=10)
    counted(rates, 70, 80, each=1, process="b")
    assert rates.per_minute("messages") == 10 * 40 + 10
    assert set(rates.bars("messages")) <= set(" ▁▂▃▄▅▆▇█")
    counted(rates, 81, 140, each=1, process="b", start=11)
    assert rates.per_minute("messages") == 60.0


def test_bars_show_the_last_five_minutes_and_nothing_for_what_was_not_seen() -> None:
    rates = Rates()
    counted(rates, 0, 50, each=0)
    counted(rates, 51, 60, each=2, start=2)
    counted(rates, 61, 70, each=1, start=21)
    assert rates.bars("messages") == " " * 23 + "▁▁▁▁▁█▅"
    assert rates.bars("messages", plain=True) == " " * 23 + "_____#="


def test_the_newest_slice_is_shown_while_it_is_being_filled_and_the_others_stand_still() -> None:
    rates = Rates()
    counted(rates, 3, 4, each=5)
    assert rates.bars("messages") == " " * 30
    counted(rates, 5, 31, each=5, start=10)
    first = rates.bars("messages")
    assert first == " " * 26 + "███ "
    counted(rates, 32, 39, each=5, start=145)
    assert rates.bars("messages") == " " * 26 + "████"


def test_no_more_is_kept_than_is_shown() -> None:
    rates = Rates()
    counted(rates, 0, 5000, each=1)
    assert len(rates._samples) <= KEPT_S + 2
    assert rates.bars("messages") == "█" * 30


def test_the_worst_lag_is_that_of_the_last_minute() -> None:
    rates = Rates()
    bounds = (0.01, 0.1, 1.0)
    for at, lags in ((0, (5, 0, 0, 1)), (30, (9, 1, 0, 1)), (90, (20, 1, 0, 1)), (100, (20, 1, 0, 2))):
        rates.add(at, "a", {}, (bounds, lags))
        if at == 30:
            assert rates.worst_lag() == (0.1, False)
        if at == 90:
            assert rates.worst_lag() == (0.01, False), "the lag of the beginning is long past"
    assert rates.worst_lag() == (1.0, True)
    rates.add(101, "b", {}, (bounds, (0, 0, 0, 0)))
    assert rates.worst_lag() is None
