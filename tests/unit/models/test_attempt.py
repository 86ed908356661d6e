"""How an attempt ends whatever becomes of its connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import BudgetsConfig, PriceConfig
from clawd.models.base import RequestTags
from clawd.models.budgets import BudgetLedger
from clawd.models.traffic import TrafficBook
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import member_of, router_over
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelEvent, ModelRequest

TAGS = RequestTags(bridge="chat", conversation="chat:bot:1", user="chat:42")


class Stuck(ScriptedModel):
    """Its streams can't be closed."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        try:
            async for event in super().stream(request):
                yield event
        finally:
            raise OSError("the socket")


async def test_a_request_that_can_not_be_closed_holds_its_reserve_no_longer() -> None:
    clock, traffic = ManualClock(), TrafficBook(ManualClock())
    ledger = BudgetLedger(BudgetsConfig(day_usd=5), {}, clock)
    member = member_of(
        Stuck(["one", asyncio.Event()], name="a"), clock, price=PriceConfig(input=10, output=30)
    )
    router = router_over(member, clock=clock, ledger=ledger, traffic=traffic)
    events = router.stream(ask(input_tokens=100, max_tokens=100_000, tags=TAGS))
    await anext(events)
    assert ledger.room("a", TAGS).spent_usd > 3
    with pytest.raises(OSError, match="the socket"):
        await events.aclose()
    assert 0 < ledger.room("a", TAGS).spent_usd < 0.01
    life = traffic.lifetime("a")
    assert life is not None
    assert life.outcomes == {"cancelled": 1}
