"""How an attempt ends whatever becomes of its connection."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import BudgetsConfig, PriceConfig
from clawd.errors import ModelError, ModelUnavailable
from clawd.models.base import RequestTags, collect
from clawd.models.budgets import BudgetLedger
from clawd.models.traffic import TrafficBook
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import member_of, router_over
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelEvent, ModelProvider, ModelRequest

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


async def told(caplog: pytest.LogCaptureFixture, *errors: ModelError) -> list[str]:
    """Return the levels at which attempts that fail like this, one after the other, are told."""
    caplog.set_level(logging.DEBUG, "clawd.models.attempt")
    clock = ManualClock()
    member = member_of(ScriptedModel(*errors, name="a"), clock)
    for _ in errors:
        router = router_over(member, clock=clock)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            request = tasks.create_task(_failed(router))
            while not request.done():
                await clock.advance(600)
                await asyncio.sleep(0)
    return [each.levelname for each in caplog.records if each.message == "model_attempt"][: len(errors)]


async def _failed(router: ModelProvider) -> None:
    with suppress(ModelError):
        await collect(router, ask())


def away(why: str) -> ModelUnavailable:
    return ModelUnavailable("a", "out of reach", why=why, offline=True)


async def test_while_the_network_is_away_the_log_says_so_once_and_again_after_another_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [away("no route"), away("no route"), away("no route"), away("no such name"), away("no route")]
    assert await told(caplog, *errors) == ["INFO", "DEBUG", "DEBUG", "INFO", "INFO"]


async def test_what_is_no_matter_of_the_network_is_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    assert await told(caplog, *(ModelUnavailable("a", "HTTP 500") for _ in range(2))) == ["INFO", "INFO"]
