"""What a router does about budgets and prices."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import BudgetsConfig
from clawd.errors import (
    BudgetSpent,
    ModelsExhausted,
)
from clawd.models.base import Completed, RequestTags, Reserve, collect
from clawd.models.budgets import BudgetLedger
from clawd.models.estimate import ANSWER_TOKENS
from clawd.models.traffic import TrafficBook
from clawd.models.windows import ModelSize
from clawd.response import Usage
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import member_of, router_over
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelEvent, ModelRequest
from tests.fakes.routing import CHEAP, DEAR, FREE, Purse, down, failing

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
