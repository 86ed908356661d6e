"""What models cost, as it is kept and read: the sums, and who may ask for them. No I/O.

Money is kept in millionths of a US dollar, so that sums are exact; days are those of UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clawd.messages import Address
    from clawd.response import ModelAttempt

MILLION: Final = 1_000_000
MOST_DAYS: Final = 366  # that one question covers

_DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1).toordinal()
_NO_FAILURE: Final = frozenset({"ok", "hedge", "cancelled"})  # as `clawd.response.ModelAttempt.outcome`
_MOST_USD: Final = 1_000_000.0  # of one request: what is above is a mistake of its price
_MOST_TOKENS: Final = 10**12  # of one request: sums must fit 64 bits whatever a provider says

UsageBy = Literal["day", "model", "user", "conversation"]
USAGE_BY: Final[tuple[UsageBy, ...]] = get_args(UsageBy)


def day_of(ms: int) -> int:
    """Return the UTC day of a journal time, as days since 1970."""
    return ms // _DAY_MS


def date_of(day: int) -> date:
    """Return the date of a day that `day_of` gave."""
    return date.fromordinal(day + _EPOCH)


def month_of(day: int) -> int:
    """Return the first day of a day's month."""
    return date_of(day).replace(day=1).toordinal() - _EPOCH


def micros(usd: float | None) -> int:
    """Return dollars as whole millionths; nothing for what is no amount of money, such as NaN."""
    if usd is None or not usd > 0:
        return 0
    return round(min(usd, _MOST_USD) * MILLION)


def dollars(amount: int) -> float:
    """Return millionths of a dollar as dollars."""
    return amount / MILLION


# --- sums ---------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Tally:
    """Sums of one row of the table `spend`; the columns have these names, in this order."""

    calls: int = 0
    failed: int = 0  # not those that lost against another model, nor those whose answer nobody waited for
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    possible_calls: int = 0
    possible: int = 0

    def add(self, attempt: ModelAttempt) -> None:
        """Count one request that ended."""
        usage, possible = attempt.usage, micros(attempt.possible_usd)
        counted = usage.input_tokens is not None or usage.output_tokens is not None
        answered = attempt.outcome == "ok"
        self.calls += 1
        self.failed += attempt.outcome not in _NO_FAILURE
        self.input_tokens += _tokens(usage.input_tokens)
        self.output_tokens += _tokens(usage.output_tokens)
        self.cached_tokens += _tokens(usage.cached_tokens)
        self.cache_write_tokens += _tokens(usage.cache_write_tokens)
        self.cost += micros(attempt.cost_usd)
        self.unpriced += attempt.cost_usd is None and not possible and (answered or counted)
        self.possible_calls += possible > 0
        self.possible += possible

    def lose(self, reserve: int) -> None:
        """Count one request of which nothing was heard any more."""
        self.possible_calls += 1
        self.possible += reserve


def tallies(attempts: Iterable[ModelAttempt]) -> dict[str, Tally]:
    """Return the sums of attempts by model."""
    found: dict[str, Tally] = {}
    for attempt in attempts:
        found.setdefault(attempt.model, Tally()).add(attempt)
    return found


def _tokens(count: int | None) -> int:
    return max(0, min(count or 0, _MOST_TOKENS))


# --- what people are shown ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What was used under one name: a day, a model, a user, a conversation, or all of it."""

    name: str = ""  # YYYY-MM-DD, a model, BRIDGE:SENDER or an address; empty: forgotten, or all of it
    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0  # answered calls without a known price: their cost is in no sum
    possible_calls: int = 0  # requests that may have cost something, and nobody counted it
    possible_usd: float = 0.0  # what those may have cost; not part of `cost_usd`


def total_of(rows: Sequence[UsageRow]) -> UsageRow:
    """Return the sum of rows, under no name."""
    return UsageRow(
        calls=sum(row.calls for row in rows),
        failed=sum(row.failed for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cached_tokens=sum(row.cached_tokens for row in rows),
        cache_write_tokens=sum(row.cache_write_tokens for row in rows),
        cost_usd=round(sum(row.cost_usd for row in rows), 6),
        unpriced=sum(row.unpriced for row in rows),
        possible_calls=sum(row.possible_calls for row in rows),
        possible_usd=round(sum(row.possible_usd for row in rows), 6),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedToday:
    """What one model cost on one person's behalf in one conversation today; empty where forgotten."""

    model: str
    conversation: str  # the address
    user: str  # BRIDGE:SENDER
    usd: float  # with what it may have cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What counts against budgets, as of one moment."""

    day: date
    month_usd: float  # of the whole month so far, with what it may have cost
    rows: Sequence[UsedToday] = ()


class Spending(Protocol):
    """Questions about what was used; answered from the read connection."""

    async def usage(self, *, days: int, by: UsageBy) -> Sequence[UsageRow]:
        """Return what was used on the last `days` days, today among them.

        Days come in order, other names the dearest first. A day without use has no row.
        """
        ...

    async def today(self, *, user: str | None = None, address: Address | None = None) -> UsageRow:
        """Return what was used today: by everybody, by one person, or in one conversation."""
        ...

    async def spent(self) -> Spent:
        """Return what was spent today and this month, for who keeps budgets."""
        ...
