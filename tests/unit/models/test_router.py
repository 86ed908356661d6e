from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import BudgetsConfig, PriceConfig
from clawd.errors import (
    BudgetSpent,
    ContextTooLong,
    ModelAuthError,
    ModelRateLimited,
    ModelsExhausted,
    ModelUnavailable,
)
from clawd.models.base import Completed, RequestTags, Reserve, collect
from clawd.models.budgets import BudgetLedger
from clawd.models.candidates import RETRY_DELAYS_S
from clawd.models.estimate import ANSWER_TOKENS, Estimate
from clawd.models.ledger import Room
from clawd.models.pacing import KeyPauses, PaceLimits
from clawd.models.router import Route
from clawd.models.traffic import TrafficBook
from clawd.models.windows import ModelSize
from clawd.response import Usage
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import member_of, router_over
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from clawd.models.base import ModelEvent, ModelRequest
    from clawd.models.member import Member
    from clawd.response import ModelAttempt

DEAR, CHEAP, FREE = (
    PriceConfig(input=10, output=30),
    PriceConfig(input=1, output=2),
    PriceConfig(input=0, output=0),
)


def down(name: str, *, transient: bool = False) -> ModelUnavailable:
    return ModelUnavailable(name, "down", why="HTTP 500", transient=transient)


def failing(name: str, count: int = 100) -> ScriptedModel:
    return ScriptedModel(*[down(name)] * count, name=name)


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


# --- money ------------------------------------------------------------------------------------------------


class Purse:
    """A ledger that keeps what it is told; budgets are set by hand."""

    def __init__(self, *spent: str) -> None:
        self.spent = set(spent)
        self.held: list[tuple[str, float]] = []
        self.open = 0
        self.settled: list[tuple[RequestTags, ModelAttempt]] = []

    def room(self, model: str, tags: RequestTags, usd: float = 0.0) -> Room:
        if model not in self.spent:
            return Room(budget="day", limit_usd=5, spent_usd=1)
        return Room(budget="day", limit_usd=5, spent_usd=5, ends_at=datetime(2026, 1, 2, tzinfo=UTC))

    @contextmanager
    def hold(self, model: str, tags: RequestTags, usd: float) -> Iterator[None]:
        self.held.append((model, usd))
        self.open += 1
        yield
        self.open -= 1

    def settle(self, tags: RequestTags, attempts: Sequence[ModelAttempt]) -> None:
        self.settled += [(tags, attempt) for attempt in attempts]


TAGS = RequestTags(bridge="chat", conversation="chat:bot:1", user="chat:42")


async def test_a_model_whose_budget_is_spent_is_passed_over() -> None:
    clock, purse, traffic = ManualClock(), Purse("a"), TrafficBook(ManualClock())
    a, b = ScriptedModel(name="a"), ScriptedModel(name="b")
    router = router_over(a, b, clock=clock, ledger=purse, traffic=traffic)
    assert (await collect(router, ask())).model == "b"
    [switch] = traffic.switches()
    assert (switch.from_model, switch.to_model, switch.reason, switch.route) == (
        "a",
        "b",
        "budget",
        "default",
    )


async def test_a_request_whose_input_alone_passes_a_budget_goes_to_a_cheaper_model_or_is_refused() -> None:
    clock = ManualClock()
    dear, cheap = ScriptedModel(name="dear"), ScriptedModel(name="cheap")
    ledger = BudgetLedger(BudgetsConfig(day_usd=0.05), {}, clock)
    members = [member_of(dear, clock, price=DEAR), member_of(cheap, clock, price=CHEAP)]
    router = router_over(*members, clock=clock, ledger=ledger)
    # Its longest answer would not fit either: that is no reason, or a small budget could never be used.
    assert (await collect(router, ask(input_tokens=4_000))).model == "dear"
    assert (await collect(router, ask(input_tokens=5_001))).model == "cheap"
    with pytest.raises(BudgetSpent, match=r"budget of \$0.05 has \$0.0\d+ left.*input alone costs \$0.60"):
        await collect(router, ask(input_tokens=60_000))
    assert len(dear.requests) + len(cheap.requests) == 2


async def test_when_the_budget_of_all_is_spent_it_says_which_and_until_when() -> None:
    clock = ManualClock()
    router = router_over(
        ScriptedModel(name="a"), ScriptedModel(name="b"), clock=clock, ledger=Purse("a", "b")
    )
    with pytest.raises(BudgetSpent, match=r"day budget of \$5.00 is spent") as caught:
        await collect(router, ask())
    assert (caught.value.model, caught.value.ends_at) == ("a", datetime(2026, 1, 2, tzinfo=UTC))
    with pytest.raises(BudgetSpent):
        router.reserve(ask())


async def test_a_spent_budget_of_a_model_that_is_out_of_service_says_both() -> None:
    clock = ManualClock()
    member = member_of(ScriptedModel(name="a"), clock, min_calls=1)
    member.breaker.failed(member.breaker.begin(), down("a"))
    router = router_over(member, clock=clock, ledger=Purse("a"))
    with pytest.raises(BudgetSpent, match=r"day budget of \$5.00 is spent") as caught:
        await collect(router, ask())
    assert caught.value.why.startswith("it begins anew at 2026-01-02 00:00 UTC; a itself is out of service: ")
    assert "HTTP 500" in caught.value.why
    assert caught.value.remedy == "raise it in budgets:, or wait; clawd models test a"
    await clock.advance(3600)
    with pytest.raises(BudgetSpent) as later:
        await collect(router, ask())
    assert later.value.why == "it begins anew at 2026-01-02 00:00 UTC", "nobody knows any more"


async def test_a_model_that_costs_nothing_goes_on_and_one_without_a_price_does_not() -> None:
    clock = ManualClock()
    free, unknown = ScriptedModel(name="free"), ScriptedModel(name="unknown")
    members = [member_of(unknown, clock), member_of(free, clock, price=FREE)]
    router = router_over(*members, clock=clock, ledger=Purse("free", "unknown"))
    assert (await collect(router, ask())).model == "free"


async def test_models_that_were_passed_over_for_money_are_among_the_causes() -> None:
    clock = ManualClock()
    router = router_over(failing("a"), ScriptedModel(name="b"), clock=clock, ledger=Purse("b"))
    with pytest.raises(ModelsExhausted) as caught:
        await collect(router, ask())
    assert [cause.code for cause in caught.value.causes] == ["E-MODEL-DOWN", "E-BUDGET"]


async def test_a_reserve_is_the_price_of_the_longest_answer_of_the_first_model() -> None:
    clock = ManualClock()
    size = ModelSize(max_tokens=2000)
    members = [
        member_of(ScriptedModel(name="a"), clock, price=DEAR, size=size),
        member_of(ScriptedModel(name="b"), clock),
    ]
    router = router_over(*members, clock=clock)
    reserve = router.reserve(ask(input_tokens=1000))
    assert reserve.model == "a"
    assert reserve.usd == pytest.approx(0.07)
    assert reserve.input_usd == pytest.approx(0.01)
    assert router.reserve(ask(input_tokens=1000, max_tokens=100)).usd == pytest.approx(0.013)
    assert router.reserve(ask(pin="b")) == Reserve(model="b", usd=None)
    unlimited = member_of(ScriptedModel(name="c"), clock, price=DEAR)
    usd = router_over(unlimited, clock=clock).reserve(ask(input_tokens=0)).usd
    assert usd == pytest.approx(ANSWER_TOKENS * 30 / 1e6)


async def test_a_request_holds_its_reserve_and_settles_what_it_cost() -> None:
    clock, purse, gate = ManualClock(), Purse(), asyncio.Event()
    a = ScriptedModel([gate, "one two"], name="a")
    router = router_over(member_of(a, clock, price=DEAR), clock=clock, ledger=purse)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(
            collect(router, ask(input_tokens=1000, max_tokens=100, tags=TAGS)),
        )
        await a.asked()
        [(model, held_usd)] = purse.held
        assert (model, round(held_usd, 6), purse.open, len(purse.settled)) == ("a", 0.013, 1, 0)
        gate.set()
    (attempt,) = asking.result().attempts
    assert attempt.cost_usd == pytest.approx((1 * 10 + 2 * 30) / 1e6)
    assert (purse.open, purse.settled) == (0, [(TAGS, attempt)])


class Counting(ScriptedModel):
    """Says of each answer that it took these tokens."""

    def __init__(self, usage: Usage) -> None:
        super().__init__(name="a")
        self._usage = usage

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            yield (
                Completed(replace(event.response, usage=self._usage))
                if isinstance(event, Completed)
                else event
            )


@pytest.mark.parametrize(
    ("usage", "believed"),
    [
        (Usage(input_tokens=10**15, output_tokens=7), False),
        (Usage(input_tokens=1000, output_tokens=10**15), False),
        (Usage(input_tokens=1000, cached_tokens=10**15, output_tokens=7), False),
        (
            Usage(input_tokens=200_000, output_tokens=100_000),
            True,
        ),  # pictures, and thoughts that are kept back
    ],
)
async def test_a_count_that_cannot_be_true_counts_as_none_and_is_logged_once(
    usage: Usage, believed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    clock, purse = ManualClock(), Purse()
    router = router_over(member_of(Counting(usage), clock, price=DEAR), clock=clock, ledger=purse)
    for _ in range(2):
        response = await collect(router, ask(input_tokens=1000, max_tokens=100, tags=TAGS))
        (attempt,) = response.attempts
        assert response.usage == attempt.usage == (usage if believed else Usage())
        assert (attempt.cost_usd is not None) is believed
        assert (0.01 <= attempt.possible_usd < 0.011) is not believed
    assert [r.message for r in caplog.records] == ([] if believed else ["usage_not_believed"])


async def test_what_broke_off_may_have_cost_its_input_and_what_was_streamed() -> None:
    clock, purse = ManualClock(), Purse()
    a = ScriptedModel(["some words of an answer ", down("a")], name="a")
    b = failing("b")
    members = [member_of(model, clock, price=DEAR) for model in (a, b)]
    router = router_over(*members, clock=clock, ledger=purse)
    with pytest.raises(ModelsExhausted) as caught:
        await collect(router, ask(input_tokens=1000, tags=TAGS))
    broke, refused = caught.value.attempts
    assert 0.01 < broke.possible_usd < 0.011
    assert (broke.cost_usd, refused.possible_usd) == (None, 0.0), "nobody works on what is turned away"
    assert (purse.open, [attempt for _, attempt in purse.settled]) == (0, [broke, refused])


@pytest.mark.parametrize(
    ("max_tokens", "size"), [(100, ModelSize()), (None, ModelSize(max_tokens=100)), (None, ModelSize())]
)
async def test_a_guess_is_never_above_the_reserve(max_tokens: int | None, size: ModelSize) -> None:
    clock, purse = ManualClock(), Purse()
    endless = ScriptedModel(["and so on, " * 100_000, down("a")], name="a")
    router = router_over(member_of(endless, clock, price=DEAR, size=size), clock=clock, ledger=purse)
    with pytest.raises(ModelsExhausted) as caught:
        await collect(router, ask(input_tokens=1000, max_tokens=max_tokens, tags=TAGS))
    [(_, reserve_usd)] = purse.held
    assert [attempt.possible_usd for attempt in caught.value.attempts] == [pytest.approx(reserve_usd)]


async def test_a_caller_that_went_away_has_its_request_settled_too() -> None:
    clock, purse = ManualClock(), Purse()
    a = ScriptedModel([asyncio.Event()], name="a")
    router = router_over(member_of(a, clock, price=DEAR), clock=clock, ledger=purse)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(collect(router, ask(input_tokens=1000, tags=TAGS)))
        await a.asked()
        asking.cancel()
    [(_, attempt)] = purse.settled
    assert (attempt.outcome, round(attempt.possible_usd, 6), purse.open) == ("cancelled", 0.01, 0)


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
