"""How many calls an endpoint gets, and how rarely one that fails."""

from __future__ import annotations

from clawd.webhooks.gate import MAX_CALLS, MAX_FAILURES, PROBE_S, Gate


def test_only_so_many_calls_are_under_way() -> None:
    gate = Gate()
    assert [gate.enter(0.0) for _ in range(MAX_CALLS)] == [None] * MAX_CALLS
    assert gate.enter(0.0) == 0.1
    gate.leave(0.0, 0.05, well=True)
    assert gate.enter(0.05) is None


def test_who_is_sent_away_comes_back_when_those_before_have_had_their_turn() -> None:
    gate = Gate(took_s=1.0)
    for _ in range(MAX_CALLS):
        gate.enter(0.0)
    assert [gate.enter(0.0) for _ in range(8)] == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert max(gate.enter(0.0) or 0 for _ in range(1000)) == 15.0


def test_after_ten_failures_there_is_one_probe_a_minute_until_one_is_well() -> None:
    gate = Gate()
    for n in range(MAX_FAILURES):
        assert gate.enter(float(n)) is None
        gate.leave(float(n), float(n), well=False)
    failed_at = MAX_FAILURES - 1.0
    assert gate.enter(failed_at + 1) == PROBE_S - 1
    assert gate.enter(failed_at + PROBE_S) is None
    assert gate.enter(failed_at + PROBE_S) == PROBE_S, "only one"
    gate.leave(0.0, 0.0, well=False)
    assert gate.enter(failed_at + PROBE_S + 1) == PROBE_S - 1
    assert gate.enter(failed_at + 2 * PROBE_S) is None
    gate.leave(0.0, 0.0, well=True)
    assert gate.is_idle
    assert gate.enter(failed_at + 2 * PROBE_S) is None


def test_a_failure_between_others_begins_the_count_anew() -> None:
    gate = Gate()
    for well in [False] * 9 + [True] + [False] * 9:
        assert gate.enter(0.0) is None
        gate.leave(0.0, 0.0, well=well)
    assert gate.enter(0.0) is None
