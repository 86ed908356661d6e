"""What was spent against which budget: in memory, by the day and the month of UTC.

Whoever keeps a journal tells at the start what it has counted (`take_over`); without one all begins at
nothing. What a request may have cost counts as spent, as it may have to be paid. Where a model has no price
nothing is known of its cost, and nothing counts.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from clawd.models.ledger import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from clawd.config.schema import BudgetsConfig, ModelConfig
    from clawd.ids import Clock
    from clawd.models.base import ModelAttempt, RequestTags

log = logging.getLogger(__name__)

KEPT: Final = 2
"""Days, and months, whose sums are kept: a clock that is set on and back again finds what it had counted."""

MOST: Final = 20_000
"""Budgets that are told apart in a day. A program may begin a conversation with each message: of too many, the half
that spent least begins anew, while those of all and of models go on to hold."""

Kind = Literal["user", "conversation", "model", "day", "month"]


class Scope(NamedTuple):
    """One budget: what it limits, and whose it is (a user, a conversation, a model; empty for all)."""

    kind: Kind
    of: str = ""


_OWN: Final = frozenset({"user", "conversation"})
_DAY: Final = Scope("day")
_MONTH: Final = Scope("month")


class SpentRow(Protocol):
    """What was spent today with one model on one behalf; empty texts: nobody's, or forgotten."""

    @property
    def model(self) -> str: ...
    @property
    def conversation(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def usd(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one budget stands. `of` is the model's, user's or conversation's name, empty for all together."""

    of: str
    room: Room

    @property
    def left_usd(self) -> float:
        """What may still be spent."""
        return max(0.0, self.room.limit_usd - self.room.spent_usd)


@dataclass(slots=True)
class _Period:
    """A day, or a month."""

    spent: dict[Scope, float] = field(default_factory=dict)
    told: dict[Scope, str] = field(default_factory=dict)  # the latest event that was logged
    pending: set[Scope] = field(default_factory=set)  # nobody has asked for the notice yet

    def add(self, scope: Scope, usd: float) -> None:
        """Count this much as spent."""
        self.spent[scope] = self.spent.get(scope, 0.0) + usd
        if len(self.spent) > MOST:
            self._forget_half()

    def _forget_half(self) -> None:
        """Forget the senders and conversations that spent least: they are the farthest from any limit."""
        own = sorted((usd, scope) for scope, usd in self.spent.items() if scope.kind in _OWN)
        for _, scope in own[: len(own) // 2]:
            del self.spent[scope]
            self.told.pop(scope, None)
            self.pending.discard(scope)


class BudgetLedger:
    """Implements `clawd.models.base.Ledger`.

    Args:
        budgets: The limits.
        models: The models' own `day_usd`, by name; those without one are left out.
        clock: Says which day it is.
        direct: Is told of attempts that no turn made, to count them for good; must not block.
    """

    def __init__(
        self,
        budgets: BudgetsConfig,
        models: Mapping[str, float],
        clock: Clock,
        *,
        direct: Callable[[Sequence[ModelAttempt]], None] | None = None,
    ) -> None:
        self._budgets = budgets
        self._models = dict(models)
        self._clock = clock
        self._direct = direct
        self._held: dict[Scope, float] = {}
        self._days: dict[date, _Period] = {}
        self._months: dict[date, _Period] = {}
        self._today = date.min
        self._day = _Period()
        self._month = _Period()
        self._follow_clock()

    def configure(self, budgets: BudgetsConfig, models: Mapping[str, float]) -> None:
        """Hold to these limits from now on; what was spent stays spent, and is told where that is near them."""
        self._budgets = budgets
        self._models = dict(models)
        self._follow_clock()
        for period in (self._day, self._month):
            for scope in list(period.told):
                limit = self._limit(scope)
                if limit is None or period.spent.get(scope, 0.0) < limit * budgets.warn_at:
                    period.told.pop(scope)  # the next time is another one
                    period.pending.discard(scope)
        self._look_at_all()

    def take_over(self, day: date, month_usd: float, rows: Iterable[SpentRow]) -> None:
        """Count what was spent before this ledger was made.

        What is near its limit already is told once more: the limit may be another one by now, and nobody
        knows whether whoever counted it came to tell it.

        Args:
            day: On which the rest was read, by UTC.
            month_usd: Spent in its month, that day included.
            rows: What was spent on that day.
        """
        kept, first = _period(self._days, day), _period(self._months, day.replace(day=1))
        first.add(_MONTH, month_usd)
        for row in rows:
            for scope in _scopes(row.model, row.user, row.conversation):
                if scope is not _MONTH:
                    kept.add(scope, row.usd)
        self._today = date.min
        self._follow_clock()
        self._look_at_all()

    # --- the contract ---------------------------------------------------------------------------------------

    def room(self, model: str, tags: RequestTags, usd: float = 0.0) -> Room:
        """Return how a request to this model on this behalf stands, before it is made; `usd` as in `Ledger`."""
        self._follow_clock()
        nearest: tuple[float, Scope, float] | None = None
        for scope in _scopes(model, tags.user, tags.conversation):
            if (limit := self._limit(scope)) is not None:
                used = (self._spent(scope) + usd) / limit
                if nearest is None or used > nearest[0]:
                    nearest = used, scope, limit
        return self._room(*nearest[1:]) if nearest is not None else Room()

    @contextmanager
    def hold(self, model: str, tags: RequestTags, usd: float) -> Iterator[None]:
        """Count this much as spent while the `with` block lasts: a request under way may cost it."""
        if not usd > 0:
            yield
            return
        scopes = list(_scopes(model, tags.user, tags.conversation))
        for scope in scopes:
            self._held[scope] = self._held.get(scope, 0.0) + usd
        try:
            yield
        finally:
            for scope in scopes:
                left = self._held.pop(scope, 0.0) - usd
                if left > 1e-9:  # sums of fractions do not come back to nothing by themselves
                    self._held[scope] = left

    def settle(self, tags: RequestTags, attempts: Sequence[ModelAttempt]) -> None:
        """Count what attempts cost, and what they may have cost."""
        self._follow_clock()
        if tags.direct and self._direct is not None:
            self._direct(attempts)
        for attempt in attempts:
            usd = (attempt.cost_usd or 0.0) + attempt.possible_usd
            if not usd > 0:
                continue
            for scope in _scopes(attempt.model, tags.user, tags.conversation):
                period = self._period_of(scope)
                period.add(scope, usd)
                self._look(period, scope)

    # --- for people -----------------------------------------------------------------------------------------

    def notice(self, tags: RequestTags) -> Room | None:
        """Return a budget of this behalf that has passed `warn_at`, once; None when there is nothing to tell.

        The sender's and the conversation's own come before those of all. Each is told once a day, that of
        the month once a month.
        """
        self._follow_clock()
        own = (Scope("user", tags.user), Scope("conversation", tags.conversation))
        others = (*sorted(self._day.pending - set(own)), *self._month.pending)
        for scope in (*own, *(scope for scope in others if scope.kind in ("model", "day", "month"))):
            period = self._period_of(scope)
            limit = self._limit(scope)
            if scope in period.pending and limit is not None:
                period.pending.discard(scope)
                return self._room(scope, limit)
        return None

    def standings(self) -> tuple[Standing, ...]:
        """Return how the budgets of all and of single models stand."""
        return self._standings((_DAY, _MONTH, *(Scope("model", name) for name in self._models)))

    def own_standings(self, tags: RequestTags) -> tuple[Standing, ...]:
        """Return how the budgets of one sender and one conversation stand; an empty name has none."""
        own = (Scope("user", tags.user), Scope("conversation", tags.conversation))
        return self._standings(scope for scope in own if scope.of)

    def _standings(self, scopes: Iterable[Scope]) -> tuple[Standing, ...]:
        self._follow_clock()
        limits = ((scope, self._limit(scope)) for scope in scopes)
        return tuple(
            Standing(of=scope.of, room=self._room(scope, limit))
            for scope, limit in limits
            if limit is not None
        )

    # --- inside ---------------------------------------------------------------------------------------------

    def _limit(self, scope: Scope) -> float | None:
        match scope.kind:
            case "day":
                return self._budgets.day_usd
            case "month":
                return self._budgets.month_usd
            case "user":
                return self._budgets.user_day_usd
            case "conversation":
                return self._budgets.conversation_day_usd
            case "model":
                return self._models.get(scope.of)

    def _spent(self, scope: Scope) -> float:
        return self._period_of(scope).spent.get(scope, 0.0) + self._held.get(scope, 0.0)

    def _room(self, scope: Scope, limit: float) -> Room:
        return Room(
            budget=scope.kind,
            model=scope.of if scope.kind == "model" else "",
            limit_usd=limit,
            spent_usd=self._spent(scope),
            warn_at=self._budgets.warn_at,
            ends_at=_end_of_month(self._today) if scope.kind == "month" else _end_of_day(self._today),
        )

    def _look_at_all(self) -> None:
        for period in (self._day, self._month):
            for scope in period.spent:
                self._look(period, scope)

    def _look(self, period: _Period, scope: Scope) -> None:
        """Tell once that a budget comes to its end, and once that it has come."""
        event = self._event(period, scope)
        if event is None or period.told.get(scope) == event:
            return
        if scope not in period.told:
            period.pending.add(scope)
        period.told[scope] = event
        limit, spent = self._limit(scope), period.spent.get(scope, 0.0)
        log.warning(
            event,
            extra={"budget": scope.kind, "of": scope.of, "spent_usd": round(spent, 6), "limit_usd": limit},
        )

    def _event(self, period: _Period, scope: Scope) -> str | None:
        limit = self._limit(scope)
        if limit is None:
            return None
        used = period.spent.get(scope, 0.0) / limit
        return "budget_spent" if used >= 1 else "budget_warning" if used >= self._budgets.warn_at else None

    def _period_of(self, scope: Scope) -> _Period:
        return self._month if scope.kind == "month" else self._day

    def _follow_clock(self) -> None:
        today = self._clock.now().astimezone(UTC).date()
        if today != self._today:
            self._today = today
            self._day = _period(self._days, today)
            self._month = _period(self._months, today.replace(day=1))


def day_limits(models: Iterable[ModelConfig]) -> dict[str, float]:
    """Return the models' own budgets, by name."""
    return {model.name: model.day_usd for model in models if model.day_usd is not None}


def _scopes(model: str, user: str, conversation: str) -> Iterator[Scope]:
    """Yield the budgets that a request counts against, whether they have a limit or not."""
    yield _DAY
    yield _MONTH
    yield Scope("model", model)
    if user:
        yield Scope("user", user)
    if conversation:
        yield Scope("conversation", conversation)


def _period(kept: dict[date, _Period], first_day: date) -> _Period:
    """Return the period that begins on a day, as the one that was used last; older ones go."""
    period = kept.pop(first_day, None) or _Period()
    kept[first_day] = period
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return period


def _end_of_day(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def _end_of_month(day: date) -> datetime:
    return datetime.combine((day.replace(day=1) + timedelta(days=32)).replace(day=1), time(), UTC)
