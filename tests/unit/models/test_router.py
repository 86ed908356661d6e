"""What a router does: whom it asks, in which order, and what is told of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import PriceConfig
from clawd.errors import (
    ContextTooLong,
    ModelAuthError,
    ModelRateLimited,
    ModelsExhausted,
    ModelUnavailable,
)
from clawd.models.base import collect
from clawd.models.candidates import RETRY_DELAYS_S
from clawd.models.estimate import Estimate
from clawd.models.pacing import KeyPauses, PaceLimits
from clawd.models.router import Route
from clawd.models.traffic import TrafficBook
from clawd.models.windows import ModelSize
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import CHEAP, DEAR, Purse, down, failing, member_of, router_over
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from clawd.models.member import Member


# --- breakers ---------------------------------------------------------------------------------------------


async def test_the_next_request_begins_with_the_standby_of_one_that_just_failed() -> None:
    clock = ManualClock()
    a, b = failing("a", 1), ScriptedModel(name="b")
    router = router_over(a, b, clock=clock)
    for _ in range(3):
        assert (await collect(router, ask())).model == "b"
    assert (len(a.requests), len(b.requests)) == (1, 3)
    await clock.advance(30)
    assert (await collect(router, ask())).model == "a"


async def test_one_that_rests_is_still_asked_when_the_others_fail() -> None:
    a, b = failing("a", 1), ScriptedModel("fine", down("b"), name="b")
    router = router_over(a, b, clock=ManualClock())
    assert (await collect(router, ask())).model == "b"
    response = await collect(router, ask())
    assert [(x.model, x.outcome) for x in response.attempts] == [("b", "E-MODEL-DOWN"), ("a", "ok")]


async def test_an_open_one_is_left_alone_while_others_answer_and_probed_by_the_next_request_after() -> None:
    clock = ManualClock()
    a, b = failing("a", 5), ScriptedModel(name="b")
    router = router_over(member_of(a, clock, min_calls=1), b, clock=clock)
    for _ in range(4):
        await collect(router, ask())
    assert len(a.requests) == 1
    await clock.advance(30)
    await collect(router, ask())
    await collect(router, ask())
    assert len(a.requests) == 2  # failed the probe
    await clock.advance(59)
    await collect(router, ask())
    assert len(a.requests) == 2
    a._script.clear()
    await clock.advance(1)
    assert (await collect(router, ask())).model == "a"
    assert (await collect(router, ask())).model == "a"


async def test_while_one_request_probes_the_others_go_elsewhere() -> None:
    clock, gate = ManualClock(), asyncio.Event()
    a, b = ScriptedModel(down("a"), [gate, "back"], name="a"), ScriptedModel(name="b")
    router = router_over(member_of(a, clock, min_calls=1), b, clock=clock)
    await collect(router, ask())
    await clock.advance(30)
    async with asyncio.TaskGroup() as group:
        probe = group.create_task(collect(router, ask()))
        await a.asked(2)
        assert (await collect(router, ask())).model == "b"
        gate.set()
    assert probe.result().model == "a"
    assert (await collect(router, ask())).model == "a"


async def test_one_that_goes_out_of_service_while_others_are_asked_is_passed_over() -> None:
    clock, gate = ManualClock(), asyncio.Event()
    a, b, c = ScriptedModel([gate, down("a")], name="a"), ScriptedModel(name="b"), ScriptedModel(name="c")
    standby = member_of(b, clock)
    router = router_over(a, standby, c, clock=clock)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(collect(router, ask()))
        await a.asked()
        standby.breaker.failed(standby.breaker.begin(), ModelAuthError("b", "refused"))
        gate.set()
    assert [x.model for x in asking.result().attempts] == ["a", "c"]


async def test_when_all_others_have_failed_one_that_is_open_is_asked_at_last() -> None:
    a, b = ScriptedModel(down("a"), "back", name="a"), ScriptedModel("fine", down("b"), name="b")
    clock = ManualClock()
    router = router_over(member_of(a, clock, min_calls=1), b, clock=clock)
    await collect(router, ask())
    response = await collect(router, ask())
    assert [(x.model, x.outcome) for x in response.attempts] == [("b", "E-MODEL-DOWN"), ("a", "ok")]


async def test_when_all_are_open_the_one_that_is_due_soonest_is_asked_all_the_same() -> None:
    clock = ManualClock()
    a, b = ScriptedModel("ok", down("a"), name="a"), ScriptedModel(down("b"), name="b")
    members = [member_of(model, clock, min_calls=1, error_rate=0.1) for model in (a, b)]
    router = router_over(*members, clock=clock)
    members[1].breaker.failed(members[1].breaker.begin(), down("b"))
    await clock.advance(5)
    members[0].breaker.failed(members[0].breaker.begin(), down("a"))
    assert [m.breaker.state.state for m in members] == ["open", "open"]
    response = await collect(router, ask())
    assert [x.model for x in response.attempts] == ["b", "a"]


async def test_a_single_model_is_asked_again_and_again_though_it_is_open() -> None:
    clock = ManualClock()
    a = ScriptedModel(down("a"), *[down("a", transient=True)] * 3, "at last", name="a")
    member = member_of(a, clock, min_calls=1)
    router = router_over(member, clock=clock)
    with pytest.raises(ModelsExhausted):
        await collect(router, ask())
    assert not member.breaker.in_service
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(collect(router, ask()))
        for delay_s in RETRY_DELAYS_S:
            await clock.sleeping()
            await clock.advance(delay_s)
    assert str(asking.result()) == "at last"
    assert member.breaker.state.state == "closed"


# --- strict and pins --------------------------------------------------------------------------------------


async def test_a_strict_request_gets_its_model_with_retries_and_never_another() -> None:
    clock = ManualClock()
    a, b = ScriptedModel(down("a", transient=True), "fine", name="a"), ScriptedModel(name="b")
    router = router_over(b, a, clock=clock)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(collect(router, ask(pin="a", strict=True)))
        await clock.sleeping()
        await clock.advance(RETRY_DELAYS_S[0])
    assert asking.result().model == "a"
    a._script.append(ModelAuthError("a", "refused"))
    with pytest.raises(ModelsExhausted):
        await collect(router, ask(pin="a", strict=True))
    assert b.requests == []


async def test_a_strict_route_asks_its_first_model_alone_also_when_that_is_out_of_service() -> None:
    clock = ManualClock()
    a, b = ScriptedModel(down("a"), "back", name="a"), ScriptedModel(name="b")
    router = router_over(member_of(a, clock, min_calls=1), b, clock=clock, strict=True)
    with pytest.raises(ModelsExhausted):
        await collect(router, ask())
    assert (await collect(router, ask())).model == "a"
    assert b.requests == []


async def test_a_pin_goes_in_front_of_its_route_and_may_name_one() -> None:
    models = [ScriptedModel(name=name) for name in "abc"]
    router = router_over(*models, clock=ManualClock(), routes={"think": Route(models=("c",))})
    assert (await collect(router, ask(pin="b"))).model == "b"
    assert (await collect(router, ask(pin="think"))).model == "c"


# --- strategies -------------------------------------------------------------------------------------------


async def test_the_fastest_is_asked_first_once_all_have_been_measured() -> None:
    clock = ManualClock()
    members = [member_of(ScriptedModel(name=name), clock) for name in "abc"]
    router = router_over(*members, clock=clock, strategy="fastest")
    for member, seconds in zip(members, ([0.9, 0.8, 5.0], [0.3, 9.0, 0.2], [0.5]), strict=True):
        assert (await collect(router, ask())).model == member.name, "not measured yet"
        member.first_tokens._times.clear()
        for each in seconds:
            member.first_tokens.add(each)
    assert (await collect(router, ask())).model == "b"
    await clock.advance(601)
    assert (await collect(router, ask())).model == "a", "what was measured long ago is measured again"


async def test_one_that_was_waited_for_in_vain_is_measured_by_that() -> None:
    clock = ManualClock()
    members = [
        member_of(ScriptedModel([asyncio.Event()], name="a"), clock),
        member_of(ScriptedModel(name="b"), clock),
    ]
    router = router_over(*members, clock=clock, strategy="fastest")
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(router, ask()))
        await clock.sleeping()
        await clock.advance(8)
    assert members[0].first_tokens.p50_s == 8.0
    await clock.advance(31)
    assert (await collect(router, ask())).model == "b", "the other has rested enough, and is slower"


async def test_the_cheapest_for_this_request_is_asked_first_and_one_without_a_price_last() -> None:
    clock = ManualClock()
    prices = {"dear": DEAR, "unknown": None, "cheap": CHEAP, "talker": PriceConfig(input=0.5, output=90)}
    members = [member_of(ScriptedModel(name=name), clock, price=price) for name, price in prices.items()]
    router = router_over(*members, clock=clock, strategy="cheapest")
    assert router.reserve(ask(input_tokens=1000, max_tokens=10)).model == "cheap"
    assert router.reserve(ask(input_tokens=100_000, max_tokens=10)).model == "talker"
    assert [m.name for m in router._plan(ask(), Estimate(ask())).members][-1] == "unknown"


async def test_where_nothing_tells_them_apart_their_order_stays() -> None:
    clock = ManualClock()
    members = [member_of(ScriptedModel(name=name), clock, price=CHEAP) for name in "cab"]
    assert router_over(*members, clock=clock, strategy="cheapest").reserve(ask()).model == "c"


# --- windows ----------------------------------------------------------------------------------------------


def sized(name: str, tokens: int | None, *script: str | ContextTooLong, clock: ManualClock) -> Member:
    return member_of(ScriptedModel(*script, name=name), clock, size=ModelSize(context_tokens=tokens))


async def test_models_whose_window_is_too_small_are_passed_over() -> None:
    clock = ManualClock()
    members = [sized("small", 8000, clock=clock), sized("unknown", None, clock=clock)]
    router = router_over(*members, clock=clock)
    assert (await collect(router, ask(min_context_tokens=9000))).model == "unknown"
    assert (await collect(router, ask(min_context_tokens=8000))).model == "small"
    with pytest.raises(ContextTooLong, match="longer") as caught:
        await collect(router_over(members[0], clock=clock), ask(min_context_tokens=9000))
    assert "8000" in caught.value.why


async def test_what_is_too_long_for_one_goes_to_larger_windows_and_unknown_ones_alone() -> None:
    clock = ManualClock()
    long = ContextTooLong("middle", "too long")
    members = [
        sized("middle", 8000, long, clock=clock),
        sized("small", 4000, clock=clock),
        sized("as small", 8000, clock=clock),
        sized("unknown", None, ContextTooLong("unknown", "too long"), clock=clock),
        sized("large", 128_000, "fine", clock=clock),
    ]
    response = await collect(router_over(*members, clock=clock), ask())
    assert [x.model for x in response.attempts] == ["middle", "unknown", "large"]


async def test_what_is_too_long_for_the_largest_is_told_so_with_all_attempts() -> None:
    clock = ManualClock()
    small, large = ContextTooLong("small", "too long"), ContextTooLong("large", "too long")
    members = [sized("small", 4000, small, clock=clock), sized("large", 8000, large, clock=clock)]
    with pytest.raises(ContextTooLong) as caught:
        await collect(router_over(*members, clock=clock), ask())
    assert caught.value is large
    assert [x.model for x in caught.value.attempts] == ["small", "large"]
    assert [member.breaker.state.state for member in members] == ["closed", "closed"]


# --- limits -----------------------------------------------------------------------------------------------


async def test_one_whose_key_was_told_to_slow_down_is_asked_last() -> None:
    clock = ManualClock()
    a = ScriptedModel(ModelRateLimited("a", retry_after_s=60), name="a")
    b = ScriptedModel(name="b")
    router = router_over(*(member_of(m, clock, pauses=KeyPauses(clock)) for m in (a, b)), clock=clock)
    for _ in range(3):
        assert (await collect(router, ask())).model == "b"
    assert len(a.requests) == 1
    await clock.advance(60)
    assert (await collect(router, ask())).model == "a"


async def test_what_only_waited_for_its_turn_has_cost_nothing_and_is_not_slow() -> None:
    clock, purse = ManualClock(), Purse()
    a, b = ScriptedModel([asyncio.Event()], name="a"), ScriptedModel(name="b")
    members = [
        member_of(a, clock, price=DEAR, pace=PaceLimits(concurrency=1)),
        member_of(b, clock, price=DEAR),
    ]
    router = router_over(*members, clock=clock, ledger=purse)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(collect(router, ask(input_tokens=1000, strict=True)))
        await a.asked()
        asking = group.create_task(collect(router, ask(pin="a", strict=True, input_tokens=1000)))
        await clock.advance(60)
        asking.cancel()
        await asyncio.wait({asking})
        assert [attempt.possible_usd for _, attempt in purse.settled] == [0.0]
        assert members[0].breaker.state.state == "closed"
        assert (await collect(router, ask())).model == "b", "busy ones are asked last"
        first.cancel()


# --- what is told -----------------------------------------------------------------------------------------


async def test_every_attempt_and_every_switch_is_in_the_book() -> None:
    clock = ManualClock()
    traffic = TrafficBook(clock)
    members = [member_of(failing("a", 1), clock, min_calls=1), member_of(ScriptedModel(name="b"), clock)]
    router = router_over(*members, clock=clock, traffic=traffic)
    await collect(router, ask())
    await collect(router, ask())
    assert [s.reason for s in traffic.switches()] == ["open", "E-MODEL-DOWN"]
    assert (traffic.view("a").calls, traffic.view("a").errors, traffic.view("b").calls) == (1, 1, 2)


async def test_the_error_of_a_pinned_request_names_the_model() -> None:
    router = router_over(failing("a"), failing("b"), clock=ManualClock())
    for strict, where in (
        (True, "model b, which was to answer alone"),
        (False, "model b, which was asked for, then"),
    ):
        with pytest.raises(ModelsExhausted) as caught:
            await collect(router, ask(pin="b", strict=strict))
        assert caught.value.where.startswith(where)


async def test_who_was_passed_over_is_kept_with_the_answer_and_with_the_error() -> None:
    clock = ManualClock()
    traffic = TrafficBook(clock)
    no = [ModelUnavailable(name, f"{name} is down", transient=False) for name in "abaa"]
    a, b = ScriptedModel(no[0], *no[2:], name="a"), ScriptedModel("fine", "fine", no[1], name="b")
    router = router_over(member_of(a, clock), member_of(b, clock), clock=clock, traffic=traffic)
    assert (await collect(router, ask())).passed_over == ()
    [passed] = (await collect(router, ask())).passed_over
    assert (passed.model, passed.reason) == ("a", "rest")
    assert "a is down" in passed.why
    assert traffic.switches()[0].reason == "rest"
    with pytest.raises(ModelsExhausted) as caught:
        await collect(router, ask())
    assert [p.model for p in caught.value.passed_over] == ["a"]


async def test_one_that_is_chosen_by_a_strategy_or_a_pin_took_over_from_nobody() -> None:
    clock = ManualClock()
    traffic = TrafficBook(clock)
    members = [
        member_of(ScriptedModel(name="a"), clock, price=DEAR),
        member_of(ScriptedModel(name="b"), clock, price=CHEAP),
    ]
    router = router_over(*members, clock=clock, traffic=traffic, strategy="cheapest")
    assert (await collect(router, ask())).model == "b"
    assert (await collect(router, ask(pin="a"))).model == "a"
    assert traffic.switches() == ()
