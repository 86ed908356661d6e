"""The models' metrics. Labels are the names of the models in force and words of fixed sets, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.models.traffic import Lifetime
from clawd.observability.metrics import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from clawd.models.base import BreakerState
    from clawd.models.budgets import Standing
    from clawd.models.traffic import Outcome, TrafficBook

_STATE: Final = {"closed": 0.0, "rest": 1.0, "half_open": 2.0, "open": 3.0}
_NEVER: Final[Mapping[Outcome, int]] = {"ok": 0}  # a rate needs a first value


def model_families(breakers: Mapping[str, BreakerState], book: TrafficBook) -> Sequence[Family]:
    """Return the metrics of models.

    Args:
        breakers: The models in force, by name, with their state. Others that the book knows are left out.
        book: What went through them.
    """
    lives = {name: book.lifetime(name) or Lifetime() for name in breakers}
    return (
        Family(
            name="clawd_model_requests_total",
            help="Attempts at models by how they ended.",
            kind="counter",
            labels=("model", "outcome"),
            samples=[
                ((name, outcome), count)
                for name, life in lives.items()
                for outcome, count in (life.outcomes or _NEVER).items()
            ],
        ),
        Family(
            name="clawd_model_request_duration_seconds",
            help="How long attempts took, whatever their outcome.",
            kind="histogram",
            labels=("model",),
            samples=[((name,), life.duration) for name, life in lives.items() if life.outcomes],
        ),
        Family(
            name="clawd_model_time_to_first_token_seconds",
            help="How long the first token took, where one came.",
            kind="histogram",
            labels=("model",),
            samples=[((name,), life.first_token) for name, life in lives.items() if life.outcomes],
        ),
        Family(
            name="clawd_model_tokens_total",
            help="Tokens as providers counted them. cached and cache_write are of the input, thinking of the output.",
            kind="counter",
            labels=("model", "type"),
            samples=[
                ((name, kind), count) for name, life in lives.items() for kind, count in life.tokens.items()
            ],
        ),
        _by_model(
            "clawd_model_cost_usd_total",
            "What attempts cost in US dollars.",
            lives,
            lambda life: life.cost_usd,
        ),
        _by_model(
            "clawd_model_possible_cost_usd_total",
            "What attempts that nobody counted may have cost in US dollars.",
            lives,
            lambda life: life.possible_usd,
        ),
        Family(
            name="clawd_breaker_state",
            help="Whether a model is in service: 0 closed (it is), 1 rest (asked last), 2 half-open, 3 open.",
            kind="gauge",
            labels=("model",),
            samples=[((name,), _STATE[breaker.state]) for name, breaker in breakers.items()],
        ),
        _switches(breakers, book),
    )


def budget_family(standings: Sequence[Standing]) -> Family:
    """Return the metric of budgets: of those of all and of single models, never of a sender or a conversation."""
    return Family(
        name="clawd_budget_used_ratio",
        help="Share of a budget that is spent, with what may be and what requests under way may cost.",
        kind="gauge",
        labels=("budget", "model"),
        samples=[((each.room.budget, each.of), each.room.used) for each in standings],
    )


def _by_model(
    name: str, text: str, lives: Mapping[str, Lifetime], value: Callable[[Lifetime], float]
) -> Family:
    samples = [((model,), value(life)) for model, life in lives.items()]
    return Family(name=name, help=text, kind="counter", labels=("model",), samples=samples)


def _switches(models: Collection[str], book: TrafficBook) -> Family:
    return Family(
        name="clawd_model_switches_total",
        help="How often another model took over, and why.",
        kind="counter",
        labels=("from_model", "to_model", "reason"),
        samples=[
            (labels, count)
            for labels, count in book.switch_counts().items()
            if labels[0] in models and labels[1] in models
        ],
    )
