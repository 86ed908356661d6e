"""The models' metrics. Labels are the names of the models in force and words of fixed sets, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.models.traffic import OUTCOMES, TOKEN_TYPES, Lifetime
from clawd.observability import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.models.budgets import Standing
    from clawd.models.states import BreakerState
    from clawd.models.traffic import TrafficBook
    from clawd.observability.metrics import Family

_STATE: Final = {"closed": 0.0, "rest": 1.0, "half_open": 2.0, "open": 3.0}


def model_families(breakers: Mapping[str, BreakerState], book: TrafficBook) -> Sequence[Family]:
    """Return the metrics of models.

    Args:
        breakers: The models in force, by name, with their state. Others that the book knows are left out.
        book: What went through them.
    """
    lives = {name: book.lifetime(name) or Lifetime() for name in breakers}
    return (
        names.MODEL_REQUESTS.family(
            [
                ((name, outcome), life.outcomes.get(outcome, 0))
                for name, life in lives.items()
                for outcome in OUTCOMES  # all, as a rate needs a first value
            ]
        ),
        names.MODEL_DURATION.family([((name,), life.duration) for name, life in lives.items()]),
        names.FIRST_TOKEN.family([((name,), life.first_token) for name, life in lives.items()]),
        names.TOKENS.family(
            [((name, kind), life.tokens.get(kind, 0)) for name, life in lives.items() for kind in TOKEN_TYPES]
        ),
        names.COST.family([((name,), life.cost_usd) for name, life in lives.items()]),
        names.POSSIBLE_COST.family([((name,), life.possible_usd) for name, life in lives.items()]),
        names.BREAKER.family([((name,), _STATE[breaker.state]) for name, breaker in breakers.items()]),
        names.SWITCHES.family(
            [
                (labels, count)
                for labels, count in book.switch_counts().items()
                if labels[0] in breakers and labels[1] in breakers
            ]
        ),
    )


def budget_family(standings: Sequence[Standing]) -> Family:
    """Return the metric of budgets: of those of all and of single models, never of a sender or a conversation."""
    return names.BUDGET_USED.family([((each.room.budget, each.of), each.room.used) for each in standings])
