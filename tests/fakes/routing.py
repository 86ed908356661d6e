"""Real routers over providers that a test has at hand: `router_over(ScriptedModel("hi"), clock=clock)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.config.schema import BreakerConfig
from clawd.ids import SystemClock
from clawd.models.breaker import BreakerLimits
from clawd.models.member import Member
from clawd.models.router import Route, Router

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
