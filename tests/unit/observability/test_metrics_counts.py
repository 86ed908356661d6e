"""The counters: how they grow, whom they tell, and that no flood of labels fills the memory."""

from __future__ import annotations

from clawd.observability.counts import MAX_LABELS, Counter, Counts


def test_a_counter_holds_a_number_for_each_combination_of_labels() -> None:
    counter = Counter("a", "b", changed=lambda: None)
    counter.add("x", "y")
    counter.add("x", "y", by=2.5)
    counter.add("x", "z")
    assert counter.numbers() == {("x", "y"): 3.5, ("x", "z"): 1}


def test_more_labels_than_a_counter_tells_apart_are_counted_as_other() -> None:
    counter = Counter("a", "b", changed=lambda: None)
    for n in range(MAX_LABELS + 50):
        counter.add(f"{n}", "y")
    counter.add("0", "y")  # known ones go on
    assert len(counter.numbers()) == MAX_LABELS + 1
    assert counter.numbers()[("other", "other")] == 50
    assert counter.numbers()[("0", "y")] == 2


def test_whoever_wants_to_know_hears_of_each_count() -> None:
    counts, heard = Counts(), []
    counts.received.add("before")
    counts.changed = lambda: heard.append(1)
    counts.received.add("chat")
    counts.turns.add("answered")
    assert len(heard) == 2


def test_the_worst_lag_is_told_once() -> None:
    counts = Counts()
    counts.worst_lag_s = 0.5
    assert (counts.take_worst_lag(), counts.take_worst_lag()) == (0.5, 0.0)
