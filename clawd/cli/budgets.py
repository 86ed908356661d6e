"""How budgets stand, in lines for people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from clawd.cli.printing import one_line, paint
from clawd.money import money

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Budget = Mapping[str, Any]  # a `clawd.control.protocol.BudgetStatus`


def name_of(budget: Budget) -> str:
    """Return what a budget limits: `day`, `month` or `model NAME`."""
    return f"model {one_line(budget['of'], 40)}" if budget["of"] else str(budget["budget"])


def used(budget: Budget) -> float:
    """Return the share that is used."""
    return float(budget["spent_usd"] / budget["limit_usd"])


def is_near(budget: Budget) -> bool:
    """Whether people are to be told of it."""
    return used(budget) >= float(budget["warn_at"])


def standing(budget: Budget) -> str:
    """Return how a budget stands."""
    text = f"{money(budget['spent_usd'])} of {money(budget['limit_usd'])} ({used(budget):.0%})"
    until = f" until {_when(budget['ends_at'])}" if budget["ends_at"] else ""
    if used(budget) >= 1:
        return f"{text}, spent{until}"
    return f"{text}, {money(budget['left_usd'])} left{until}"


def lines(budgets: Iterable[Budget]) -> Iterator[str]:
    """Yield a line for each budget, in the colour of its danger."""
    for budget in budgets:
        colour = "red" if used(budget) >= 1 else "yellow" if is_near(budget) else "green"
        yield f"{name_of(budget)}  {paint(standing(budget), colour)}"


def _when(at: str) -> str:
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M} UTC"
