from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from clawd.errors import ModelRateLimited
from clawd.models.base import collect
from clawd.models.info import SwitchSeen, TrafficView
from clawd.models.traffic import MODELS, SWITCHES, WINDOW_S, TrafficBook
from clawd.response import ModelAttempt, Usage
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import member_of, router_over
from tests.unit.models.conftest import ask


def _ok(model: str = "a", *, first_s: float = 0.5, total_s: float = 2.5, tokens: int = 100) -> ModelAttempt:
    usage = Usage(input_tokens=10, output_tokens=tokens, cached_tokens=4)
    return ModelAttempt(
        model=model, outcome="ok", first_token_s=first_s, duration_s=total_s, usage=usage, cost_usd=0.25
    )


def _failed(outcome: str, model: str = "a") -> ModelAttempt:
    return ModelAttempt(model=model, outcome=outcome, duration_s=9.0, possible_usd=0.5)


def _switch(number: int, reason: str = "hedge") -> SwitchSeen:
    at = ManualClock().now() + timedelta(seconds=number)
    return SwitchSeen(at=at, route=f"r{number}", from_model="a", to_model="b", reason=reason)


def test_a_model_that_nobody_asked_has_an_empty_view() -> None:
    assert TrafficBook(ManualClock()).view("a") == TrafficView(window_s=WINDOW_S)


async def test_view_tells_rate_errors_times_and_speed() -> None:
    clock = ManualClock()
    book = TrafficBook(clock)
    for tenth in range(1, 21):
        book.attempt(_ok(first_s=tenth / 10, total_s=tenth / 10 + 2))
    for outcome in ("E-MODEL-DOWN", "E-MODEL-BUSY", "hedge", "cancelled"):
        book.attempt(_failed(outcome))
    await clock.advance(120)
    view = book.view("a")
    assert (view.calls, view.errors, view.calls_per_min) == (24, 2, 12.0)
    assert (view.first_token_p50_s, view.first_token_p95_s) == (1.0, 1.9)
    assert (view.total_p50_s, view.total_p95_s) == (3.0, 3.9)
    assert view.tokens_per_s == pytest.approx(50.0)
    assert book.view("b").calls == 0


async def test_what_is_older_than_the_window_no_longer_counts() -> None:
    clock = ManualClock()
    book = TrafficBook(clock)
    book.attempt(_ok(total_s=100.0))
    book.attempt(_failed("E-MODEL-DOWN"))
    await clock.advance(WINDOW_S - 10)
    book.attempt(_ok(total_s=2.0))
    assert (book.view("a").calls, book.view("a").total_p95_s) == (3, 100.0)
    await clock.advance(20)
    view = book.view("a")
    assert (view.calls, view.errors, view.total_p95_s) == (1, 0, 2.0)
    await clock.advance(WINDOW_S)
    assert book.view("a") == TrafficView(window_s=WINDOW_S)


def test_one_call_right_after_the_start_is_one_a_minute_at_most() -> None:
    book = TrafficBook(ManualClock())
    book.attempt(_ok())
    assert book.view("a").calls_per_min == 1.0


def test_a_flood_is_counted_whole_and_kept_in_part() -> None:
    book = TrafficBook(ManualClock())
    for _ in range(2000):
        book.attempt(_ok(total_s=50.0))
    for _ in range(256):
        book.attempt(_ok(total_s=3.0))
    view = book.view("a")
    assert view.calls == 2256
    assert view.total_p95_s == 3.0  # of the newest


def test_an_answer_in_one_piece_has_no_speed() -> None:
    book = TrafficBook(ManualClock())
    book.attempt(_ok(first_s=2.0, total_s=2.0))
    assert book.view("a").tokens_per_s is None


async def test_models_that_are_long_gone_are_forgotten_for_new_ones() -> None:
    clock = ManualClock()
    book = TrafficBook(clock)
    for number in range(MODELS + 1):
        book.attempt(_ok(f"m{number}"))
        await clock.advance(0.1)
    assert book.lifetime("m0") is None
    assert book.lifetime("m1") is not None
    assert book.lifetime(f"m{MODELS}") is not None


async def test_a_request_that_a_resting_key_turned_away_is_no_call_of_the_model() -> None:
    clock = ManualClock()
    book = TrafficBook(clock)
    model = ScriptedModel(ModelRateLimited("a", retry_after_s=5), name="a")
    member = member_of(model, clock)
    router = router_over(member, clock=clock, traffic=book)
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(collect(router, ask()))]
        await clock.sleeping()  # the key rests
        answers.append(group.create_task(collect(router, ask())))
        await clock.sleeping(2)
        await clock.advance(5)
    assert [a.outcome for a in answers[1].result().attempts] == ["E-MODEL-BUSY", "ok"]
    view, info = book.view("a"), member.info(())
    assert (len(model.requests), view.calls, info.calls) == (3, 3, 3)
    assert (view.errors, info.errors) == (1, 1)


def test_the_newest_switches_are_kept_newest_first() -> None:
    book = TrafficBook(ManualClock())
    for number in range(SWITCHES + 10):
        book.switched(_switch(number))
    assert [s.route for s in book.switches()] == [f"r{n}" for n in range(SWITCHES + 9, 9, -1)]


def test_lifetime_counts_outlast_the_window_and_have_a_fixed_set_of_words() -> None:
    book = TrafficBook(ManualClock())
    book.attempt(_ok())
    book.attempt(_ok(first_s=0.05, total_s=400.0))
    for outcome in ("E-MODEL-DOWN", "E-NEVER-HEARD-OF", "E-CONTEXT"):
        book.attempt(_failed(outcome))
    life = book.lifetime("a")
    assert life is not None
    assert life.outcomes == {"ok": 2, "unavailable": 1, "error": 1, "context": 1}
    assert life.tokens == {"input": 20, "output": 200, "cached": 8}
    assert (life.cost_usd, life.possible_usd) == (0.5, 1.5)
    assert life.duration.cumulated()[-2:] == [(300.0, 4), (float("inf"), 5)]
    assert life.duration.total == pytest.approx(2.5 + 400.0 + 3 * 9.0)
    assert life.first_token.cumulated()[0] == (0.1, 1)
    for number, reason in enumerate(("hedge", "E-MODEL-DOWN", "whatever", "whatever else")):
        book.switched(_switch(number, reason))
    assert book.switch_counts() == {
        ("a", "b", "hedge"): 1,
        ("a", "b", "unavailable"): 1,
        ("a", "b", "other"): 2,
    }
