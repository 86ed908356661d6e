from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import BreakerConfig, ModelConfig
from clawd.errors import (
    BudgetSpent,
    ContextTooLong,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
)
from clawd.models.base import Completed, ModelResponse, Progress, TextDelta, ToolCall, collect
from clawd.models.breaker import LONGEST_S, Breaker, BreakerLimits, Guarded
from clawd.models.states import BreakerState, RecentStates
from clawd.testing import ManualClock, ScriptedModel
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelEvent, ModelRequest

LIMITS = BreakerLimits(first_token_s=8, error_rate=0.5, slow_rate=0.5, window_s=60, min_calls=5, open_s=30)
DOWN = ModelUnavailable("a", "down", why="HTTP 500")


class Watched:
    """A breaker with its clock and all that it noted."""

    def __init__(self, state: BreakerState | None = None) -> None:
        self.clock = ManualClock()
        self.noted: list[BreakerState] = []
        self.breaker = Breaker("a", LIMITS, self.clock, note=self.noted.append, state=state)

    async def call(self, error: ModelError | None = None, *, after_s: float = 0.0) -> None:
        """Make one request; without an error it is answered."""
        call = self.breaker.begin()
        await self.clock.advance(after_s)
        if error is None:
            self.breaker.heard(call)
            self.breaker.answered(call)
        else:
            self.breaker.failed(call, error)
        self.breaker.left(call)

    async def calls(self, count: int, error: ModelError | None = None, *, after_s: float = 0.0) -> None:
        for _ in range(count):
            await self.call(error, after_s=after_s)

    @property
    def state(self) -> str:
        return self.breaker.state.state


# --- going out of service ---------------------------------------------------------------------------------


async def test_one_failure_lets_a_model_rest_and_the_rest_ends_by_itself() -> None:
    it = Watched()
    await it.call(DOWN)
    assert (it.state, it.breaker.in_service, it.breaker.resting) == ("rest", True, True)
    state = it.breaker.state
    assert state.why == "down: HTTP 500"
    assert state.until == it.clock.now() + timedelta(seconds=30)
    await it.clock.advance(30)
    assert it.state == "closed"
    assert [s.state for s in it.noted] == ["rest", "closed"]


async def test_what_this_machine_could_not_even_ask_is_not_held_against_a_model() -> None:
    it = Watched()
    await it.calls(20, ModelUnavailable("a", "no room", why="EMFILE: Too many open files", local=True))
    assert (it.state, it.noted) == ("closed", [])


async def test_an_answer_ends_a_rest() -> None:
    it = Watched()
    await it.call(DOWN)
    await it.call()
    assert it.state == "closed"


async def test_it_opens_when_half_of_enough_requests_failed() -> None:
    it = Watched()
    await it.calls(2)
    await it.calls(2, DOWN)
    assert it.state == "rest"
    await it.call(DOWN)
    assert (it.state, it.breaker.in_service) == ("open", False)
    assert it.breaker.state.why == "3 of 5 requests failed; the last: down: HTTP 500"


async def test_the_newest_reason_is_told_while_it_is_out_of_service() -> None:
    it = Watched()
    refused = ModelAuthError("a", "the key is refused", why="HTTP 401")
    await it.call(DOWN)
    await it.call(ModelUnavailable("a", "empty"))
    assert (it.state, it.breaker.state.why) == ("rest", "empty")
    await it.calls(3, DOWN)
    until = it.breaker.state.until
    await it.call(refused)
    assert it.breaker.state.why == "5 of 5 requests failed; the last: the key is refused: HTTP 401"
    assert it.breaker.state.until == until
    await it.call()
    await it.call(refused)
    await it.call(DOWN)
    assert (it.state, it.breaker.state.why) == ("open", "down: HTTP 500")


async def test_one_that_fails_every_other_time_opens_although_each_answer_ends_its_rest() -> None:
    it = Watched()
    for _ in range(2):
        await it.call(DOWN)
        await it.call()
    assert it.state == "closed"
    await it.call(DOWN)
    assert it.state == "open"


async def test_failures_that_are_few_among_many_do_not_open_it() -> None:
    it = Watched()
    for _ in range(10):
        await it.calls(2)
        await it.call(DOWN)
    assert it.state == "rest"


async def test_what_left_the_window_does_not_count() -> None:
    it = Watched()
    await it.calls(4, DOWN)
    await it.clock.advance(61)
    await it.call(DOWN)
    assert it.state == "rest"


async def test_slow_answers_open_it_too() -> None:
    it = Watched()
    await it.calls(2)
    await it.calls(3, after_s=8)
    assert it.state == "open"
    assert it.breaker.state.why == "3 of 5 requests were slow; the last: no first token within 8 s"


async def test_a_slow_answer_does_not_end_a_rest() -> None:
    it = Watched()
    await it.call(after_s=9)
    assert it.state == "rest"
    await it.call(after_s=9)
    assert it.state == "rest"


async def test_a_request_that_was_given_up_counts_as_slow_only_if_it_was() -> None:
    it = Watched()
    early = it.breaker.begin()
    await it.clock.advance(7.9)
    it.breaker.left(early)
    assert it.state == "closed"
    late = it.breaker.begin()
    await it.clock.advance(8)
    it.breaker.left(late)
    assert (it.state, it.breaker.state.why) == ("rest", "no first token within 8 s")


async def test_one_that_was_given_up_in_the_middle_of_its_answer_says_nothing() -> None:
    it = Watched()
    call = it.breaker.begin()
    it.breaker.heard(call)
    await it.clock.advance(100)
    it.breaker.left(call)
    assert (it.state, it.noted) == ("closed", [])


async def test_a_refused_key_opens_it_at_once() -> None:
    it = Watched()
    await it.call(ModelAuthError("a", "the provider refuses the API key (environment A_KEY)", why="HTTP 401"))
    assert it.state == "open"
    assert it.breaker.state.why == "the provider refuses the API key (environment A_KEY): HTTP 401"


@pytest.mark.parametrize(
    "error",
    [
        ContextTooLong("a", "too long"),
        ModelRateLimited("a", retry_after_s=5),
        BudgetSpent("a", budget="day", limit_usd=1, ends_at=None),
    ],
    ids=lambda error: error.code,
)
async def test_what_is_not_the_models_fault_does_not_count(error: ModelError) -> None:
    it = Watched()
    await it.calls(10, error)
    assert (it.state, it.noted) == ("closed", [])


async def test_an_answer_that_was_slow_and_then_broke_off_counts_once_as_failed() -> None:
    it = Watched()
    await it.calls(3)
    for _ in range(2):
        call = it.breaker.begin()
        await it.clock.advance(8)
        it.breaker.heard(call)
        it.breaker.failed(call, DOWN)
        it.breaker.left(call)
    assert it.state == "rest"  # 2 of 5


# --- coming back ------------------------------------------------------------------------------------------


async def opened() -> Watched:
    it = Watched()
    await it.calls(5, DOWN)
    assert it.state == "open"
    return it


async def test_an_open_one_is_half_open_when_its_time_is_over_and_an_answer_closes_it() -> None:
    it = await opened()
    await it.clock.advance(29)
    assert it.state == "open"
    await it.clock.advance(1)
    assert (it.state, it.breaker.in_service) == ("half_open", True)
    await it.call()
    assert it.state == "closed"
    assert [s.state for s in it.noted] == ["rest", "open", "half_open", "closed"]


async def test_only_one_request_probes_at_a_time() -> None:
    it = await opened()
    await it.clock.advance(30)
    probe = it.breaker.begin()
    assert not it.breaker.in_service
    it.breaker.left(probe)  # given up before it told anything
    assert it.breaker.in_service


async def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_ten_minutes() -> None:
    it = await opened()
    waits = []
    for _ in range(6):
        waits.append((it.breaker.state.until - it.clock.now()).total_seconds())  # type: ignore[operator]
        await it.clock.advance(waits[-1])
        await it.call(DOWN)
    assert waits == [30, 60, 120, 240, 480, LONGEST_S]


async def test_after_an_answer_the_time_is_short_again() -> None:
    it = await opened()
    await it.clock.advance(30)
    await it.call(DOWN)
    await it.clock.advance(60)
    await it.call()
    await it.call(DOWN)
    assert it.breaker.state.until == it.clock.now() + timedelta(seconds=30)


async def test_one_that_fails_after_each_rest_rests_longer_each_time() -> None:
    it = Watched()
    waits = []
    for _ in range(4):
        await it.call(DOWN)
        assert it.state == "rest"
        waits.append((it.breaker.state.until - it.clock.now()).total_seconds())  # type: ignore[operator]
        await it.clock.advance(waits[-1] + 60)
    assert waits == [30, 60, 120, 240]


async def test_failures_within_a_rest_do_not_prolong_it() -> None:
    it = Watched()
    await it.call(DOWN)
    until = it.breaker.state.until
    await it.clock.advance(10)
    await it.call(DOWN)
    assert it.breaker.state.until == until


async def test_a_slow_probe_opens_it_again() -> None:
    it = await opened()
    await it.clock.advance(30)
    await it.call(after_s=8)
    assert it.state == "open"


async def test_a_rate_limit_of_a_probe_leaves_the_next_to_probe() -> None:
    it = await opened()
    await it.clock.advance(30)
    await it.call(ModelRateLimited("a"))
    assert (it.state, it.breaker.in_service) == ("half_open", True)


async def test_an_answer_to_a_request_of_before_the_trouble_closes_nothing() -> None:
    it = Watched()
    old = it.breaker.begin()
    it.breaker.heard(old)
    await it.clock.advance(1)
    await it.calls(5, DOWN)
    it.breaker.answered(old)
    assert it.state == "open"
    await it.clock.advance(30)
    older = it.breaker.begin()
    it.breaker.failed(older, DOWN)
    assert it.state == "open"


async def test_one_failure_among_many_requests_in_flight_is_soon_forgotten() -> None:
    it = Watched()
    streaming, waiting = it.breaker.begin(), it.breaker.begin()
    it.breaker.heard(streaming)
    await it.clock.advance(1)
    await it.call(DOWN)
    it.breaker.answered(streaming)
    assert it.state == "rest", "it was on its way already"
    await it.clock.advance(1)
    it.breaker.heard(waiting)
    it.breaker.answered(waiting)
    assert it.state == "closed"


async def test_an_answer_while_it_is_open_closes_it() -> None:
    it = await opened()
    await it.call()
    assert it.state == "closed"


# --- over a reload and a restart --------------------------------------------------------------------------


async def test_a_state_that_was_noted_is_taken_up_with_the_rest_of_its_time() -> None:
    it = await opened()
    await it.clock.advance(12)
    state = it.noted[-1]
    again = Watched(state)
    await again.clock.advance(12)
    assert (again.state, again.breaker.state.why) == ("open", state.why)
    await again.clock.advance(18)
    assert again.state == "half_open"
    await again.call(DOWN)
    assert again.breaker.state.until == again.clock.now() + timedelta(seconds=60)


async def test_a_state_whose_time_is_over_is_half_open_or_closed() -> None:
    clock = ManualClock()
    past = clock.now() - timedelta(seconds=1)
    for noted, now in (("open", "half_open"), ("rest", "closed"), ("half_open", "half_open")):
        state = BreakerState(state=noted, since=past - timedelta(seconds=30), until=past)  # type: ignore[arg-type]
        assert Watched(state).state == now


async def test_a_state_is_not_waited_for_longer_than_ten_minutes_whatever_the_clock_did() -> None:
    clock = ManualClock()
    state = BreakerState(state="open", since=clock.now(), until=clock.now() + timedelta(days=3))
    it = Watched(state)
    await it.clock.advance(LONGEST_S)
    assert it.state == "half_open"


async def test_states_are_forgotten_after_ten_minutes_and_when_they_close() -> None:
    clock = ManualClock()
    states = RecentStates(clock)
    states.note("a", BreakerState(state="open", since=clock.now()))
    states.note("b", BreakerState(state="open", since=clock.now()))
    states.note("b", BreakerState(since=clock.now()))
    assert list(states.load()) == ["a"]
    await clock.advance(600)
    assert dict(states.load()) == {}


# --- around a provider ------------------------------------------------------------------------------------


class Events(ScriptedModel):
    """Gives these events, each when its time has come."""

    def __init__(self, clock: ManualClock, *events: tuple[float, ModelEvent]) -> None:
        super().__init__(name="a")
        self._clock = clock
        self._events = events

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        for after_s, event in self._events:
            await self._clock.sleep(after_s)
            yield event


DONE = Completed(ModelResponse(model="a", text="hi"))


@pytest.mark.parametrize("what", ["thinking", "tool_call", "keepalive"])
async def test_any_sign_of_life_is_in_time(what: str) -> None:
    it = Watched()
    sign = Progress(what)  # type: ignore[arg-type]
    provider = Guarded(Events(it.clock, (7, sign), (20, TextDelta("hi")), (0, DONE)), it.breaker)
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(provider, ask()))
        await it.clock.sleeping()
        await it.clock.advance(7)
        await it.clock.advance(20)
    assert it.state == "closed"


async def test_a_first_token_that_is_late_counts_before_the_answer_is_complete() -> None:
    it = Watched()
    provider = Guarded(Events(it.clock, (8, TextDelta("h")), (100, DONE)), it.breaker)
    events = provider.stream(ask())
    async with asyncio.TaskGroup() as group:
        group.create_task(it.clock.advance(8))
        assert await anext(events) == TextDelta("h")
    assert it.state == "rest"
    await events.aclose()


async def test_a_stream_without_an_end_is_an_error() -> None:
    it = Watched()
    provider = Guarded(Events(it.clock, (0, TextDelta("h"))), it.breaker)
    with pytest.raises(ModelUnavailable, match="ended without an answer"):
        async for _ in provider.stream(ask()):
            pass
    assert it.state == "rest"


async def test_an_empty_answer_is_an_error() -> None:
    it = Watched()
    nameless = ToolCall(id="1", name="", arguments="{}")
    empty = Completed(ModelResponse(model="a", text=" \n", tool_calls=(nameless,)))
    with pytest.raises(ModelUnavailable, match="answer is empty"):
        await collect(Guarded(Events(it.clock, (0, empty)), it.breaker), ask())
    assert it.state == "rest"


async def test_closing_a_stream_early_counts_nothing() -> None:
    it = Watched()
    events = Guarded(Events(it.clock, (0, TextDelta("h")), (0, DONE)), it.breaker).stream(ask())
    await anext(events)
    await events.aclose()
    assert (it.state, it.noted) == ("closed", [])


def test_a_model_may_have_its_own_idea_of_slow() -> None:
    own = ModelConfig(name="a", type="chat", first_token_s=2)
    assert BreakerLimits.of(BreakerConfig(), own).first_token_s == 2
    assert BreakerLimits.of(BreakerConfig(), ModelConfig(name="a", type="chat")).first_token_s == 8
