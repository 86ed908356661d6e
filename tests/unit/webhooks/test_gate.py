"""How many calls an endpoint gets, and how rarely one that fails."""

from __future__ import annotations

from clawd.webhooks.gate import MAX_CALLS, MAX_FAILURES, MAX_GATES, PROBE_S, Gate, Gates


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


def test_an_endpoint_that_answers_leaves_nothing_behind() -> None:
    gates = Gates()
    gate = gates.of("https://a")
    assert gate.enter(0.0) is None
    assert gates.of("https://a") is gate
    gate.leave(0.0, 0.1, well=True)
    gates.left("https://a", gate)
    assert len(gates) == 0


def test_hosts_that_fail_are_remembered_up_to_a_number_and_those_with_a_call_always() -> None:
    gates = Gates()
    busy = gates.of("https://busy")
    assert busy.enter(0.0) is None
    for n in range(MAX_GATES + 50):
        gate = gates.of(f"https://h{n}")
        assert gate.enter(0.0) is None
        gate.leave(0.0, 0.1, well=False)
        gates.left(f"https://h{n}", gate)
    assert len(gates) == MAX_GATES
    assert gates.of("https://busy") is busy
    assert gates.of(f"https://h{MAX_GATES + 49}").failures == 1
