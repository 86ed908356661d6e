"""One model of a set: its provider behind its breaker and its limits, and what is known of it."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from clawd.models.base import DescribedProvider, KeyedProvider
from clawd.models.breaker import Breaker, BreakerLimits, Guarded
from clawd.models.info import ModelInfo
from clawd.models.pacing import KeyPauses, Paced, PaceLimits
from clawd.models.strategies import FirstTokens
from clawd.models.tool_calls import without_tools
from clawd.models.windows import ModelSize

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

    from clawd.config.schema import PriceConfig
    from clawd.errors import ModelError
    from clawd.ids import Clock
    from clawd.models.base import ManagedProvider, ModelEvent, ModelRequest
    from clawd.models.estimate import Estimate
    from clawd.models.info import TrafficView
    from clawd.models.states import StateCache
    from clawd.response import ModelAttempt


class Member:
    """A `ModelProvider`: requests are fitted to what the model can, wait for its limits, and are watched.

    Args:
        provider: Who is asked.
        clock: Measures.
        limits: When it is slow, and when it goes out of service.
        kind: Its type.
        found: Where it was found, as in `ModelInfo`.
        size: What is known of its window.
        price: What it costs; None: not known.
        pace: What it may be asked; without it, anything.
        pauses: Of all models' keys.
        states: Where its breaker goes on from, and is noted.
    """

    def __init__(
        self,
        provider: ManagedProvider,
        clock: Clock,
        limits: BreakerLimits,
        *,
        kind: str,
        found: str,
        size: ModelSize | None = None,
        price: PriceConfig | None = None,
        pace: PaceLimits | None = None,
        pauses: KeyPauses | None = None,
        states: StateCache | None = None,
    ) -> None:
        self.name = provider.name
        self.provider = provider
        self.size = size if size is not None else ModelSize()
        self.price = price
        self.first_tokens = FirstTokens(clock)
        self.identity = _identity(provider, kind)
        self.breaker = _breaker(self.identity, provider.name, clock, limits, states)
        key_id = provider.key_id if isinstance(provider, KeyedProvider) else ""
        guarded = Guarded(provider, self.breaker)
        self.paced = Paced(guarded, pace or PaceLimits(), pauses or KeyPauses(clock), key_id, clock)
        self.counts_wrongly = False  # its last count could not be true
        self._kind = kind
        self._found = found
        self._calls = 0
        self._errors = 0
        self._last_error = ""
        self._last_error_at: datetime | None = None
        self._clock = clock

    def stream(
        self, request: ModelRequest, on_begin: Callable[[], None] | None = None
    ) -> AsyncGenerator[ModelEvent, None]:
        """Return the events of the answer; `on_begin` as in `Paced.stream`."""
        fitted = request if self.provider.offers_tools else without_tools(request)
        return self.paced.stream(fitted, on_begin)

    def began(self) -> None:
        """Take in that a request has its turn."""
        self._calls += 1

    def ended(self, attempt: ModelAttempt, error: ModelError | None) -> None:
        """Take in how a request to it went."""
        if error is not None:
            self._errors += 1
            self._last_error, self._last_error_at = str(error), self._clock.now()
        elif attempt.outcome == "ok":
            self._last_error, self._last_error_at = "", None
        if attempt.first_token_s is not None:
            self.first_tokens.add(attempt.first_token_s)
        elif attempt.duration_s >= self.first_token_s:  # else one that hangs would count as not measured
            self.first_tokens.add(attempt.duration_s)

    async def probe(self) -> str:
        """Return one line that proves the model answers, and have it back in service; raises ModelError."""
        line = await self.provider.probe()
        self.breaker.mended()
        self._last_error, self._last_error_at = "", None
        return line

    @property
    def last_error(self) -> str:
        """What its last request failed with; empty where it was answered."""
        return self._last_error

    @property
    def first_token_s(self) -> float:
        """Later than that it is slow."""
        return self.breaker.limits.first_token_s

    @property
    def busy(self) -> bool:
        """Whether a request would wait: for its limits, or because its key was told to slow down."""
        return self.paced.wait_s() > 0

    @property
    def free(self) -> bool:
        """Whether it surely costs nothing."""
        return self.price is not None and not (
            self.price.input or self.price.output or self.price.cache_write
        )

    def reserve_usd(self, estimate: Estimate) -> float | None:
        """Return what a request may cost here at most; None without a price."""
        return estimate.reserve_usd(self.price, self.size)

    def input_usd(self, estimate: Estimate) -> float:
        """Return what a request costs here before anything is answered; nothing without a price."""
        return estimate.input_usd(self.price)

    def info(self, routes: tuple[str, ...], traffic: TrafficView | None = None) -> ModelInfo:
        """Return what is known about this model, as of now."""
        held_until, held_by = self.paced.held_until()
        described = self.provider if isinstance(self.provider, DescribedProvider) else None
        return ModelInfo(
            name=self.name,
            type=self._kind,
            model=described.model if described else self.name,
            place=described.place if described else "",
            found=self._found,
            routes=routes,
            calls=self._calls,
            errors=self._errors,
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            breaker=self.breaker.state,
            in_flight=self.paced.in_flight,
            waiting=self.paced.waiting,
            paused_until=self.paced.paused_until(),
            held_until=held_until,
            held_by=held_by,
            price=self.price,
            traffic=traffic,
        )


def _identity(provider: ManagedProvider, kind: str) -> str:
    """Return what names a model as long as it is the same.

    One that was moved to another endpoint, or got another key, is another: what is known of it is void.
    """
    facts = [kind]
    if isinstance(provider, DescribedProvider):
        facts += [provider.model, provider.place]
    if isinstance(provider, KeyedProvider):
        facts.append(provider.key_id)
    return f"{provider.name} {hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"


def _breaker(
    identity: str, name: str, clock: Clock, limits: BreakerLimits, states: StateCache | None
) -> Breaker:
    """Return the model's breaker, which goes on from its last state."""
    if states is None:
        return Breaker(name, limits, clock)
    return Breaker(
        name, limits, clock, note=partial(states.note, identity), state=states.load().get(identity)
    )
