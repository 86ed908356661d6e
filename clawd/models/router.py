"""Many models as one: who is asked for a request, and who takes over."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from clawd.errors import BudgetSpent, ContextTooLong, ModelError, ModelUnknown
from clawd.models.attempt import Books
from clawd.models.base import Completed, Reserve, Switched, TextDelta, with_attempts
from clawd.models.candidates import Candidates, Plan, spread
from clawd.models.estimate import Estimate
from clawd.models.hedge import first_answer
from clawd.models.info import SwitchSeen
from clawd.models.ledger import NoBudgets
from clawd.models.strategies import by_strategy
from clawd.models.traffic import TrafficBook
from clawd.models.windows import DEFAULT_ROUTE, SUMMARY_ROUTE
from clawd.response import PassedOver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from clawd.config.schema import RouteConfig
    from clawd.ids import Clock
    from clawd.models.attempt import Attempt
    from clawd.models.base import ModelEvent, ModelRequest
    from clawd.models.ledger import Ledger
    from clawd.models.member import Member
    from clawd.models.strategies import Strategy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A named choice of models."""

    models: tuple[str, ...]
    strategy: Strategy = "priority"
    strict: bool = False
    hedge: bool = True

    @classmethod
    def of(cls, config: RouteConfig, *, hedge: bool) -> Route:
        """Return the route of a section; `hedge` holds where it does not say."""
        return cls(
            models=config.models,
            strategy=config.strategy,
            strict=config.strict,
            hedge=hedge if config.hedge is None else config.hedge,
        )


class Router:
    """Answers a request by its route, or first by the model that it pins; see `RoutedProvider`.

    A pin may also name a route, which is then taken instead. A model that fails is followed by the next at
    once, one that is late gets the next beside it (`clawd.models.hedge`); that another model begins anew
    is told by `Switched`, and text shown before it is void. Nothing is switched after visible text unless the
    stream broke. Every attempt is settled as it ends, and attached to the response, or to the error.

    Args:
        members: The models by name.
        routes: `default` among them. They may name models that are found at one start and not at the next:
            those are passed over.
        clock: Measures and waits.
        ledger: Knows what is spent; without one there are no budgets.
        traffic: Counts attempts and switches.
        jitter: As in `Candidates`.
    """

    name = "router"

    def __init__(
        self,
        members: Mapping[str, Member],
        routes: Mapping[str, Route],
        clock: Clock,
        *,
        ledger: Ledger | None = None,
        traffic: TrafficBook | None = None,
        jitter: Callable[[], float] = spread,
    ) -> None:
        self._members = members
        self._routes = routes
        self._books = Books(clock, ledger or NoBudgets(), traffic or TrafficBook(clock))
        self._jitter = jitter

    def reserve(self, request: ModelRequest) -> Reserve:
        """Return whom `stream` would ask now, and what its longest answer would cost there.

        Where neither the request nor the model limits the answer it is taken to be `ANSWER_TOKENS` long.

        Raises:
            ModelError: as `stream` does where there is nobody to ask.
        """
        estimate = Estimate(request)
        first = self._plan(request, estimate).members[0]
        return Reserve(model=first.name, usd=first.reserve_usd(estimate), input_usd=first.input_usd(estimate))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        estimate = Estimate(request)
        plan = self._plan(request, estimate)
        candidates = Candidates(plan, request, estimate, self._books, self._jitter)
        current, shown = plan.members[0].name, False
        if plan.passed_over:
            first = plan.passed_over[0]
            self._note_switch(plan, first.model, current, first.reason)
        try:
            while True:
                attempt = await self._answering(candidates)
                if shown or attempt.name != current:
                    reason = candidates.reason(current)
                    if attempt.name != current:
                        self._note_switch(plan, current, attempt.name, reason)
                        extra = {"from_model": current, "to_model": attempt.name, "reason": reason}
                        log.info("model_switched", extra={"route": plan.route, **extra})
                    yield Switched(from_model=current, to_model=attempt.name, reason=reason)
                    current, shown = attempt.name, False
                while True:
                    try:
                        event = await attempt.more()
                    except ModelError as error:
                        candidates.failed(attempt, error)
                        break
                    if isinstance(event, Completed):
                        response = with_attempts(event.response, candidates.results)
                        if plan.passed_over:
                            response = replace(response, passed_over=plan.passed_over)
                        yield Completed(response)
                        return
                    shown = shown or isinstance(event, TextDelta)
                    yield event
        finally:
            await candidates.leave()

    async def _answering(self, candidates: Candidates) -> Attempt:
        """Return an attempt that has begun to answer; raises the error of the whole route."""
        while (attempt := await first_answer(candidates, self._books.clock)) is None:
            if not await candidates.again():
                raise candidates.error()
        await candidates.lose(attempt)
        return attempt

    def _note_switch(self, plan: Plan, from_model: str, to_model: str, reason: str) -> None:
        seen = SwitchSeen(
            at=self._books.clock.now(),
            route=plan.route,
            from_model=from_model,
            to_model=to_model,
            reason=reason,
        )
        self._books.traffic.switched(seen)

    # --- who is asked -----------------------------------------------------------------------------------

    def _plan(self, request: ModelRequest, estimate: Estimate) -> Plan:
        name, route, pin = self._named(request)
        wanted = self._wanted(name, route, pin, estimate)
        strict = request.strict or route.strict
        if strict:
            wanted = wanted[:1]
        fitting = _fitting(wanted, request.min_context_tokens)
        paying, spent = self._paying(fitting, request, estimate)
        ready = sorted((m for m in paying if m.breaker.in_service), key=_rank)
        resort = sorted((m for m in paying if not m.breaker.in_service), key=lambda m: m.breaker.due)
        if not ready:  # no answer without trying
            ready, resort = resort, []
        return Plan(
            route=name,
            pin=pin,
            strict=strict,
            members=tuple(ready),
            resort=tuple(resort),
            hedge=route.hedge and len(paying) > 1,
            passed=tuple(spent),
            passed_over=tuple(
                _passed_over(member, fitting, paying)
                for member in takewhile(lambda member: member is not ready[0], wanted)
            ),
        )

    def _named(self, request: ModelRequest) -> tuple[str, Route, str | None]:
        """Return the route with its name, and the model that goes in front of it."""
        name, pin = request.route, request.pin
        if pin is not None and pin not in self._members:
            if pin not in self._routes:
                raise self._unknown(pin)
            name, pin = pin, None
        if name not in self._routes:
            if name != SUMMARY_ROUTE:
                raise self._unknown(name)
            name = DEFAULT_ROUTE  # nobody has to configure that one
        return name, self._routes[name], pin

    def _wanted(self, name: str, route: Route, pin: str | None, estimate: Estimate) -> list[Member]:
        """Return the models in the order in which they are wanted, at least one."""
        known = [self._members[model] for model in route.models if model in self._members]
        order = by_strategy(known, route.strategy, estimate)
        if pin is not None:
            pinned = self._members[pin]
            order = [pinned, *(member for member in order if member is not pinned)]
        if not order:
            raise self._unknown(route.models[0] if route.models else name)
        return order

    def _paying(
        self, members: Sequence[Member], request: ModelRequest, estimate: Estimate
    ) -> tuple[list[Member], list[BudgetSpent]]:
        """Return the models that a budget has room for, and why the others are passed over.

        There is room while the input alone fits: nobody knows how long an answer will be, and by the longest
        one a small budget would be refused from the start.
        """
        paying, spent = [], []
        for member in members:
            input_usd = member.input_usd(estimate)
            room = self._books.ledger.room(member.name, request.tags, input_usd)
            if member.free or room.takes(input_usd):
                paying.append(member)
            else:
                spent.append(
                    BudgetSpent(
                        member.name,
                        budget=room.budget,
                        limit_usd=room.limit_usd,
                        ends_at=room.ends_at,
                        left_usd=max(0.0, room.limit_usd - room.spent_usd),
                        input_usd=input_usd,
                        ill=member.breaker.state.why
                        if member.breaker.state.state in ("rest", "open")
                        else "",
                    )
                )
        if not paying:
            raise spent[0]
        return paying, spent

    def _unknown(self, name: str) -> ModelUnknown:
        known = f"models are {', '.join(self._members)}; routes are {', '.join(self._routes)}"
        return ModelUnknown(name, why=known)


def _fitting(members: Sequence[Member], min_tokens: int | None) -> list[Member]:
    """Return the models whose window may hold so much; raises ContextTooLong where none does."""
    if min_tokens is None:
        return list(members)
    fitting = [m for m in members if m.size.context_tokens is None or m.size.context_tokens >= min_tokens]
    if not fitting:
        largest = max(members, key=lambda member: member.size.context_tokens or 0)
        raise ContextTooLong(
            largest.name,
            "the conversation is longer than the model's context",
            why=f"it takes {min_tokens} tokens, and {largest.size.context_tokens} is the most of its route",
            remedy="begin anew with /new, or use a model with a longer context",
        )
    return fitting


def _rank(member: Member) -> int:
    """Return how late a model is asked: those that have just failed after others, those that make wait last."""
    return 2 if member.busy else 1 if member.breaker.resting else 0


def _passed_over(member: Member, fitting: Sequence[Member], paying: Sequence[Member]) -> PassedOver:
    """Return why a model is not the first to be asked."""
    if member not in fitting:
        return PassedOver(model=member.name, reason=ContextTooLong.code)
    if member not in paying:
        return PassedOver(model=member.name, reason="budget")
    if not member.breaker.in_service:
        return PassedOver(model=member.name, reason="open", why=member.breaker.state.why)
    if member.busy:
        return PassedOver(model=member.name, reason="busy")
    return PassedOver(model=member.name, reason="rest", why=member.breaker.state.why)
