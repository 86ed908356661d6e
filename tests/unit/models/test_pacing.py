from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import ModelConfig
from clawd.errors import ModelRateLimited, ModelUnavailable
from clawd.models.base import Completed, RequestTags, collect
from clawd.models.paces import Paces
from clawd.models.pacing import KeyPauses, Paced, PaceLimits
from clawd.testing import ManualClock, ScriptedModel, Step
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.models.base import ModelProvider, ModelRequest
    from tests.unit.models.conftest import MakeChat


class _Site:
    """A clock, the pauses of its keys, and models paced by them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.pauses = KeyPauses(self.clock, jitter=lambda: 1.0)

    def paced(self, provider: ModelProvider, key_id: str = "key", **limits: int) -> Paced:
        return Paced(provider, PaceLimits(**limits), self.pauses, key_id, self.clock)

    async def waited(self, condition: Callable[[], bool]) -> None:
        """Let others run until the condition holds; the clock stands still."""
        for _ in range(200):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came to that")

    async def settled(self) -> None:
        """Let others run until nothing moves while the clock stands still."""
        await self.clock.advance(0)


@pytest.fixture
def site() -> _Site:
    return _Site()


def _from(conversation: str, text: str = "hi", **more: int) -> ModelRequest:
    return ask(text, tags=RequestTags(conversation=conversation), **more)


def _asked(model: ScriptedModel) -> list[str]:
    return [request.tags.conversation for request in model.requests]


def _held(until: asyncio.Event, then: Step = "ok") -> list[Step]:
    return [until, then]


def _limited(seconds: float | None = None, model: str = "a") -> ModelRateLimited:
    return ModelRateLimited(model, why="HTTP 429", retry_after_s=seconds)


# --- concurrency and the line ---------------------------------------------------------------------------


async def test_no_more_than_so_many_run_at_a_time_and_an_end_lets_the_next_in(site: _Site) -> None:
    go = [asyncio.Event() for _ in range(4)]
    model = ScriptedModel(*(_held(event) for event in go))
    paced = site.paced(model, concurrency=2)
    async with asyncio.TaskGroup() as group:
        for n in range(4):
            group.create_task(collect(paced, _from(f"c{n}")))
        await site.waited(lambda: paced.waiting == 2)
        assert (paced.in_flight, len(model.requests)) == (2, 2)
        go[0].set()
        await model.asked(3)
        assert (paced.in_flight, paced.waiting) == (2, 1)
        for event in go:
            event.set()
    assert (paced.in_flight, paced.waiting, len(model.requests)) == (0, 0, 4)
    assert site.clock.sleepers == 0


async def test_conversations_take_turns_and_each_keeps_its_order(site: _Site) -> None:
    first = asyncio.Event()
    model = ScriptedModel([first, "ok"])
    paced = site.paced(model, concurrency=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("a", "0")))
        await site.waited(lambda: paced.in_flight == 1)
        for name, text in (("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "1"), ("b", "2")):
            group.create_task(collect(paced, _from(name, text)))
        await site.waited(lambda: paced.waiting == 6)
        first.set()
    texts = [str(request.messages[0].parts[0].text) for request in model.requests]  # type: ignore[union-attr]
    served = [f"{name}{text}" for name, text in zip(_asked(model), texts, strict=True)]
    assert served == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_without_conversations_users_take_turns(site: _Site) -> None:
    first = asyncio.Event()
    model = ScriptedModel(_held(first))
    paced = site.paced(model, concurrency=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, ask(tags=RequestTags(user="x"))))
        await site.waited(lambda: paced.in_flight == 1)
        for name in ("a", "a", "b"):
            group.create_task(collect(paced, ask(tags=RequestTags(user=name))))
        await site.waited(lambda: paced.waiting == 3)
        first.set()
    assert [request.tags.user for request in model.requests] == ["x", "a", "b", "a"]


async def test_who_comes_when_a_place_is_free_does_not_pass_those_that_wait(site: _Site) -> None:
    first = asyncio.Event()
    model = ScriptedModel([first, "ok"])
    paced = site.paced(model, concurrency=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("a")))
        await site.waited(lambda: paced.in_flight == 1)
        group.create_task(collect(paced, _from("b")))
        await site.waited(lambda: paced.waiting == 1)

        async def late() -> None:
            await first.wait()
            while paced.in_flight:  # the place is free, and b has not been woken yet
                await asyncio.sleep(0)
            await collect(paced, _from("late"))

        group.create_task(late())
        first.set()
    assert _asked(model) == ["a", "b", "late"]


async def test_a_cancelled_waiter_frees_its_place(site: _Site) -> None:
    first = asyncio.Event()
    model = ScriptedModel([first, "ok"])
    paced = site.paced(model, concurrency=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("a")))
        await site.waited(lambda: paced.in_flight == 1)
        gone = group.create_task(collect(paced, _from("b")))
        await site.waited(lambda: paced.waiting == 1)
        group.create_task(collect(paced, _from("c")))
        await site.waited(lambda: paced.waiting == 2)
        gone.cancel()
        await site.waited(lambda: paced.waiting == 1)
        first.set()
    assert _asked(model) == ["a", "c"]


async def test_a_first_waiter_cancelled_as_it_is_woken_hands_the_place_on(site: _Site) -> None:
    first = asyncio.Event()
    model = ScriptedModel([first, "ok"])
    paced = site.paced(model, concurrency=1)
    async with asyncio.TaskGroup() as group:
        holder = group.create_task(collect(paced, _from("a")))
        await site.waited(lambda: paced.in_flight == 1)
        gone = group.create_task(collect(paced, _from("b")))
        await site.waited(lambda: paced.waiting == 1)
        group.create_task(collect(paced, _from("c")))
        await site.waited(lambda: paced.waiting == 2)
        first.set()
        holder.add_done_callback(lambda _: gone.cancel())
    assert _asked(model)[-1] == "c"
    assert (paced.in_flight, paced.waiting) == (0, 0)


async def test_a_stream_that_is_closed_early_or_fails_frees_its_place(site: _Site) -> None:
    model = ScriptedModel(["some", "more"], ModelUnavailable("a", "down"), "ok")
    paced = site.paced(model, concurrency=1)
    async with aclosing(paced.stream(_from("a"))) as events:
        await anext(events)
        assert paced.in_flight == 1
    assert paced.in_flight == 0
    with pytest.raises(ModelUnavailable):
        await collect(paced, _from("a"))
    assert str(await collect(paced, _from("a"))) == "ok"


async def test_a_smaller_limit_stops_nothing_under_way_and_a_greater_one_lets_in_at_once(site: _Site) -> None:
    go = asyncio.Event()
    model = ScriptedModel(*(_held(go) for _ in range(5)))
    paces = Paces()

    def configured(**limits: int) -> Paced:
        paced = site.paced(model, "key", **limits)
        paced.share(paces, "a")
        return paced

    paced = configured(concurrency=3)
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(collect(paced, _from(f"c{n}")))
        await site.waited(lambda: paced.waiting == 2)
        assert configured(concurrency=1).in_flight == 3
        await site.settled()
        assert (paced.in_flight, paced.waiting) == (3, 2)
        configured()
        await site.waited(lambda: paced.in_flight == 5)
        go.set()


# --- rates ------------------------------------------------------------------------------------------------


async def test_requests_beyond_the_minute_go_as_the_oldest_leave_it(site: _Site) -> None:
    model = ScriptedModel()
    paced = site.paced(model, requests_per_min=2)
    async with asyncio.TaskGroup() as group:
        await collect(paced, _from("a"))
        await site.clock.advance(20)
        await collect(paced, _from("a"))
        group.create_task(collect(paced, _from("a")))
        group.create_task(collect(paced, _from("b")))
        await site.clock.sleeping()
        assert site.clock.sleepers == 1  # only the first of the line sleeps
        await site.clock.advance(39.9)
        assert len(model.requests) == 2
        await site.clock.advance(0.1)
        assert len(model.requests) == 3
        await site.clock.advance(20)
        assert len(model.requests) == 4


async def test_tokens_are_taken_by_estimate_and_corrected_by_the_count(site: _Site) -> None:
    # The double counts one token for each message and each word of its answer.
    model = ScriptedModel("one two", "ok", "ok")
    paced = site.paced(model, tokens_per_min=1000)
    await collect(paced, _from("a", input_tokens=500, max_tokens=400))
    await collect(paced, _from("a", input_tokens=500, max_tokens=400))  # 3 were counted of the first
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("a", input_tokens=600, max_tokens=396)))  # 3 + 2 + 996
        await site.clock.sleeping()
        assert len(model.requests) == 2
        await site.clock.advance(60)
    await site.clock.advance(60)
    await collect(paced, _from("a", input_tokens=600, max_tokens=400))  # just so
    assert len(model.requests) == 4


async def test_a_count_that_comes_in_lets_the_next_go_without_waiting_for_the_minute(site: _Site) -> None:
    go = asyncio.Event()
    model = ScriptedModel([go, "ok"], "ok")
    paced = site.paced(model, tokens_per_min=1000)
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("a", input_tokens=500, max_tokens=400)))
        await site.waited(lambda: paced.in_flight == 1)
        group.create_task(collect(paced, _from("b", input_tokens=500, max_tokens=400)))
        await site.waited(lambda: paced.waiting == 1)
        await site.clock.sleeping()
        go.set()  # 2 tokens were counted
    assert len(model.requests) == 2  # and the clock never moved


async def test_a_request_that_broke_off_keeps_its_estimate(site: _Site) -> None:
    model = ScriptedModel(ModelUnavailable("a", "down"), "ok")
    paced = site.paced(model, tokens_per_min=1000)
    with pytest.raises(ModelUnavailable):
        await collect(paced, _from("a", input_tokens=500, max_tokens=400))
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("a", input_tokens=100, max_tokens=1)))
        await site.clock.sleeping()
        await site.clock.advance(60)
    assert len(model.requests) == 2


async def test_a_request_larger_than_the_minute_goes_through_alone(site: _Site) -> None:
    model = ScriptedModel(ModelUnavailable("a", "down"), "ok", "ok")
    paced = site.paced(model, tokens_per_min=1000)
    with pytest.raises(ModelUnavailable):
        await collect(paced, _from("a", input_tokens=10, max_tokens=10))
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("big", input_tokens=5000, max_tokens=400)))
        await site.clock.sleeping()
        group.create_task(collect(paced, _from("small", input_tokens=1, max_tokens=1)))
        await site.waited(lambda: paced.waiting == 2)  # it does not pass, or the big one never goes
        await site.clock.advance(59)
        assert len(model.requests) == 1
        await site.clock.advance(1)
    assert _asked(model) == ["a", "big", "small"]


async def test_without_an_estimate_the_messages_are_counted(site: _Site) -> None:
    model = ScriptedModel(ModelUnavailable("a", "down"))
    paced = site.paced(model, tokens_per_min=3000)
    with pytest.raises(ModelUnavailable):
        await collect(paced, _from("a", "word " * 2500, max_tokens=1))
    assert paced.wait_s() == 60.0  # another one like it does not fit
    assert paced.held_until() == (site.clock.now() + timedelta(seconds=60), "tokens_per_min")
    assert site.paced(ScriptedModel(), tokens_per_min=3000).wait_s() == 0.0


async def test_a_usual_request_that_fits_is_told_to_have_no_wait(site: _Site) -> None:
    paced = site.paced(ScriptedModel(), tokens_per_min=100)
    for _ in range(20):
        assert paced.wait_s() == 0.0
        await collect(paced, _from("a", input_tokens=25, max_tokens=5))  # 2 tokens were counted


async def test_the_wait_is_told_beforehand(site: _Site) -> None:
    go = asyncio.Event()
    paced = site.paced(ScriptedModel([go, "ok"]), concurrency=1)
    assert paced.wait_s() == 0.0
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, _from("a")))
        await site.waited(lambda: paced.in_flight == 1)
        one = paced.wait_s()
        group.create_task(collect(paced, _from("b")))
        await site.waited(lambda: paced.waiting == 1)
        assert 0 < one < paced.wait_s()
        go.set()
    rated = site.paced(ScriptedModel(), requests_per_min=1)
    await collect(rated, _from("a"))
    await site.clock.advance(10)
    assert rated.wait_s() == pytest.approx(50.0)


async def test_whoever_measures_is_told_when_the_wait_is_over(site: _Site) -> None:
    paced = site.paced(ScriptedModel(), requests_per_min=1)
    began: list[float] = []

    async def measured() -> None:
        async with aclosing(paced.stream(ask(), lambda: began.append(site.clock.monotonic()))) as events:
            async for _ in events:
                pass

    start = site.clock.monotonic()
    await measured()
    async with asyncio.TaskGroup() as group:
        group.create_task(measured())
        await site.clock.sleeping()
        assert began == [start]
        await site.clock.advance(60)
    assert began == [start, start + 60]


def test_limits_are_those_of_the_models_section() -> None:
    config = ModelConfig(name="a", type="chat", concurrency=2, requests_per_min=30, tokens_per_min=4000)
    assert PaceLimits.of(config) == PaceLimits(concurrency=2, requests_per_min=30, tokens_per_min=4000)
    assert PaceLimits.of(ModelConfig(name="a", type="chat")).none


# --- the pause of a key -----------------------------------------------------------------------------------


async def test_a_429_makes_every_model_of_the_key_rest_and_no_request_is_made_before_it_is_over(
    site: _Site, make_chat: MakeChat
) -> None:
    busy = Reply(status=429, headers={"Retry-After": "30"})
    async with FakeOpenAI(busy) as api:
        one = site.paced(make_chat(api.base_url, "one", site.clock))
        two = site.paced(make_chat(api.base_url, "two", site.clock))
        other = site.paced(make_chat(api.base_url, "other", site.clock), key_id="another key")
        with pytest.raises(ModelRateLimited):
            await collect(one, ask())
        assert two.paused_until() == site.clock.now() + timedelta(seconds=30)
        assert two.wait_s() == 30.0
        await site.clock.advance(29)
        for paced in (one, two):
            with pytest.raises(ModelRateLimited) as raised:
                await collect(paced, ask())
            assert raised.value.retry_after_s == pytest.approx(1.0)
            assert raised.value.model == paced.name
            assert raised.value.why.startswith("HTTP 429: ")  # the provider's own words
            assert raised.value.why.endswith("; its key is to rest for 1 s more")
        assert len(api.requests) == 1
        assert (await collect(other, ask())).model == "other"
        await site.clock.advance(1)
        assert two.paused_until() is None
        assert (await collect(two, ask())).model == "two"
        assert [seen.body["model"] for seen in api.requests] == ["one", "other", "two"]


async def test_those_that_wait_are_turned_away_when_the_pause_begins(site: _Site) -> None:
    go = asyncio.Event()
    one, two = ScriptedModel([go, _limited(5)], name="one"), ScriptedModel(name="two")
    first, second = site.paced(one, concurrency=1), site.paced(two, requests_per_min=1)
    await collect(second, _from("a"))
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(_error_of(collect(first, _from("a"))))
        await site.waited(lambda: first.in_flight == 1)
        waits = [
            group.create_task(_error_of(collect(first, _from("b")))),
            group.create_task(_error_of(collect(second, _from("b")))),
        ]
        await site.waited(lambda: (first.waiting, second.waiting) == (1, 1))
        go.set()
    assert asked.result().retry_after_s == 5
    assert [wait.result().retry_after_s for wait in waits] == [5.0, 5.0]
    assert (first.waiting, second.waiting, len(one.requests), len(two.requests)) == (0, 0, 1, 1)


async def test_without_a_time_pauses_double_up_to_a_minute_and_a_success_begins_anew(site: _Site) -> None:
    model = ScriptedModel(*(_limited() for _ in range(8)), "ok", _limited())
    paced = site.paced(model)
    pauses = []
    for _ in range(8):
        await _error_of(collect(paced, ask()))
        pauses.append(paced.wait_s())
        await site.clock.advance(paced.wait_s())
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    await collect(paced, ask())
    await _error_of(collect(paced, ask()))
    assert paced.wait_s() == 1


async def test_refusals_of_one_burst_are_one_pause(site: _Site) -> None:
    go = asyncio.Event()
    model = ScriptedModel(*(_held(go, _limited()) for _ in range(5)), _limited())
    paced = site.paced(model)
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(_error_of(collect(paced, _from(f"c{n}"))))
        await model.asked(5)
        go.set()
    assert paced.wait_s() == 1
    await site.clock.advance(1)
    await _error_of(collect(paced, ask()))
    assert paced.wait_s() == 2


async def test_an_answer_to_a_request_from_before_the_pause_does_not_end_it(site: _Site) -> None:
    go = asyncio.Event()
    paced = site.paced(ScriptedModel([go, "ok"], _limited(10)))
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(paced, ask()))
        await site.waited(lambda: paced.in_flight == 1)
        await _error_of(collect(paced, ask()))
        go.set()
    assert paced.wait_s() == 10


@pytest.mark.parametrize(("asked", "pause"), [(0.0, 1.0), (0.5, 0.5), (86400.0, 600.0)])
async def test_a_providers_wish_is_honoured_within_reason(site: _Site, asked: float, pause: float) -> None:
    paced = site.paced(ScriptedModel(_limited(asked)))
    await _error_of(collect(paced, ask()))
    assert paced.wait_s() == pause


async def test_models_without_a_key_do_not_share_a_pause(site: _Site) -> None:
    one = site.paced(ScriptedModel(_limited(9), name="one"), key_id="")
    two = site.paced(ScriptedModel(name="two"), key_id="")
    await _error_of(collect(one, ask()))
    assert (one.wait_s(), two.wait_s()) == (9.0, 0.0)


async def test_all_events_pass_and_the_place_is_free_when_the_answer_is_complete(site: _Site) -> None:
    paced = site.paced(ScriptedModel(["a", "b"]), concurrency=1)
    async with aclosing(paced.stream(ask())) as events:
        async for event in events:
            if isinstance(event, Completed):
                assert event.response.text == "ab"
                assert paced.in_flight == 0


async def _error_of(answer: Awaitable[object]) -> ModelRateLimited:
    with pytest.raises(ModelRateLimited) as raised:
        await answer
    return raised.value
