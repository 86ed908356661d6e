"""Real routers over providers that a test has at hand: `router_over(ScriptedModel("hi"), clock=clock)`."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clawd.config.schema import PriceConfig
from clawd.errors import (
    ModelUnavailable,
)
from clawd.models.base import RequestTags
from clawd.models.ledger import Room
from clawd.models.pacing import KeyPauses, PaceLimits
from clawd.models.router import Route
from clawd.models.traffic import TrafficBook
from clawd.models.windows import ModelSize
from clawd.testing import ScriptedModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clawd.models.member import Member
    from clawd.response import ModelAttempt

from typing import TYPE_CHECKING

from clawd.config.schema import BreakerConfig
from clawd.ids import SystemClock
from clawd.models.breaker import BreakerLimits
from clawd.models.member import Member
from clawd.models.router import Router

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.schema import PriceConfig
    from clawd.ids import Clock
    from clawd.models.base import ManagedProvider
    from clawd.models.ledger import Ledger
    from clawd.models.pacing import KeyPauses, PaceLimits
    from clawd.models.states import StateCache
    from clawd.models.strategies import Strategy
    from clawd.models.traffic import TrafficBook
    from clawd.models.windows import ModelSize


def member_of(
    provider: ManagedProvider,
    clock: Clock | None = None,
    *,
    size: ModelSize | None = None,
    price: PriceConfig | None = None,
    pace: PaceLimits | None = None,
    pauses: KeyPauses | None = None,
    states: StateCache | None = None,
    **limits: float,
) -> Member:
    """Return the provider as a set of models holds it; `limits` are keys of the section `breaker`."""
    general = BreakerConfig(**limits)  # type: ignore[arg-type] # one of them is a whole number
    return Member(
        provider,
        clock or SystemClock(),
        BreakerLimits.of(general),
        kind="scripted",
        found="config",
        size=size,
        price=price,
        pace=pace,
        pauses=pauses,
        states=states,
    )


def router_over(
    *models: ManagedProvider | Member,
    clock: Clock | None = None,
    strategy: Strategy = "priority",
    strict: bool = False,
    hedge: bool = True,
    routes: Mapping[str, Route] | None = None,
    ledger: Ledger | None = None,
    traffic: TrafficBook | None = None,
) -> Router:
    """Return a router whose default route has these models in this order; its waits are exact."""
    clock = clock or SystemClock()
    members = [model if isinstance(model, Member) else member_of(model, clock) for model in models]
    default = Route(
        models=tuple(member.name for member in members), strategy=strategy, strict=strict, hedge=hedge
    )
    return Router(
        {member.name: member for member in members},
        {"default": default, **(routes or {})},
        clock,
        ledger=ledger,
        traffic=traffic,
        jitter=lambda: 1.0,
    )


DEAR, CHEAP, FREE = (
    PriceConfig(input=10, output=30),
    PriceConfig(input=1, output=2),
    PriceConfig(input=0, output=0),
)


def down(name: str, *, transient: bool = False) -> ModelUnavailable:
    return ModelUnavailable(name, "down", why="HTTP 500", transient=transient)


def failing(name: str, count: int = 100) -> ScriptedModel:
    return ScriptedModel(*[down(name)] * count, name=name)


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
