"""Is there money left?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.cli import budgets
from clawd.cli.checks.site import Finding, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site

ID: Final = "budgets"


def check_budgets(site: Site) -> Iterator[Finding]:
    """A budget of the running daemon that is near its end is a note; senders' and conversations' own are theirs."""
    standings = site.status.get("budgets", ()) if site.status is not None else ()
    near = [budget for budget in standings if budgets.is_near(budget)]
    for budget in near:
        where = f"day_usd of the model {budget['of']}" if budget["of"] else f"budgets.{budget['budget']}_usd"
        yield warn(ID, f"{budgets.name_of(budget)}: {budgets.standing(budget)}", f"raise {where}, or wait")
    if standings and not near:
        yield ok(ID, "; ".join(f"{budgets.name_of(each)}: {budgets.standing(each)}" for each in standings))
