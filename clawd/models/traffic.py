"""What goes through the models: the last minutes for people, the whole life of the process for metrics."""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Final, Literal, get_args

from clawd.models.info import TrafficView
from clawd.observability.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.ids import Clock
    from clawd.models.info import SwitchSeen
    from clawd.response import ModelAttempt, Usage

WINDOW_S: Final = 300.0
SWITCHES: Final = 50  # that are kept, with their times
MODELS: Final = 256  # that are kept; of more, those are forgotten that nobody asked for longest

_SLICE_S: Final = 10.0  # calls are counted by slices of the window, so that no burst fills the memory
_SAMPLES: Final = 256  # of good answers that are kept for a model: percentiles are of the newest of them
_YOUNG_S: Final = 60.0  # rates are of at least so long a time
_FIRST_TOKEN_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # 8 is when a hedge begins
_DURATION_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)  # 300 is the longest answer

Outcome = Literal[
    "ok", "hedge", "unavailable", "rate_limited", "auth", "context", "budget", "cancelled", "error"
]
"""How an attempt ended: `hedge` lost against another model's answer, `error` is anything else."""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
GOOD: Final = frozenset[Outcome]({"ok", "hedge", "cancelled"})
"""Outcomes that say nothing against the model."""

Reason = Literal[
    "unavailable",
    "rate_limited",
    "auth",
    "context",
    "error",
    "hedge",
    "rest",
    "open",
    "budget",
    "busy",
    "other",
]
"""Why another model took over."""
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

TokenType = Literal["input", "output", "cached", "cache_write", "thinking"]
TOKEN_TYPES: Final[tuple[TokenType, ...]] = get_args(TokenType)

_OUTCOME_OF: Final[Mapping[str, Outcome]] = {
    "ok": "ok",
    "hedge": "hedge",
    "cancelled": "cancelled",
    "E-MODEL-DOWN": "unavailable",
    "E-MODEL-BUSY": "rate_limited",
    "E-MODEL-AUTH": "auth",
    "E-CONTEXT": "context",
    "E-BUDGET": "budget",
}
_REASON_OF: Final[Mapping[str, Reason]] = {
    "hedge": "hedge",
    "rest": "rest",
    "open": "open",
    "budget": "budget",
    "busy": "busy",
    "E-MODEL": "error",
    "E-MODEL-DOWN": "unavailable",
    "E-MODEL-BUSY": "rate_limited",
    "E-MODEL-AUTH": "auth",
    "E-CONTEXT": "context",
    "E-BUDGET": "budget",
}


@dataclass(slots=True, eq=False)
class Lifetime:
    """One model's counts since the process began."""

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    tokens: dict[TokenType, int] = field(default_factory=dict)
    cost_usd: float = 0.0  # as counted by the provider
    possible_usd: float = 0.0  # what attempts without a count may have cost
    duration: Histogram = field(default_factory=lambda: Histogram(_DURATION_S))
    first_token: Histogram = field(default_factory=lambda: Histogram(_FIRST_TOKEN_S))


class TrafficBook:
    """Counts the attempts at each model, and remembers the last switches.

    Rates and errors are of all attempts of the last five minutes, to within a slice of ten seconds. Times
    and tokens a second are of good answers, of the newest ones where there were many. Its memory is bounded
    whatever goes through: some 10 kB for a model. An attempt costs a few microseconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._models: dict[str, _Model] = {}
        self._switches: deque[SwitchSeen] = deque(maxlen=SWITCHES)
        self._switched: dict[tuple[str, str, Reason], int] = {}

    def attempt(self, attempt: ModelAttempt) -> None:
        """Count one attempt that is over."""
        now = self._clock.monotonic()
        model = self._models.get(attempt.model)
        if model is None:
            model = self._new(attempt.model)
        model.add(attempt, now)

    def switched(self, switch: SwitchSeen) -> None:
        """Note that another model took over."""
        self._switches.append(switch)
        key = (switch.from_model, switch.to_model, _REASON_OF.get(switch.reason, "other"))
        if key in self._switched or len(self._switched) < MODELS * len(REASONS):
            self._switched[key] = self._switched.get(key, 0) + 1

    def view(self, model: str) -> TrafficView:
        """Return what went through a model in the last `WINDOW_S` seconds."""
        found, now = self._models.get(model), self._clock.monotonic()
        if found is None:
            return TrafficView(window_s=WINDOW_S)
        return found.view(now, min(WINDOW_S, max(_YOUNG_S, now - self._began)))

    def switches(self) -> Sequence[SwitchSeen]:
        """Return the last switches, the newest first."""
        return tuple(reversed(self._switches))

    # --- for metrics ------------------------------------------------------------------------------------

    def lifetime(self, model: str) -> Lifetime | None:
        """Return a model's counts since the process began; None when it was never asked."""
        found = self._models.get(model)
        return found.lifetime if found else None

    def switch_counts(self) -> Mapping[tuple[str, str, Reason], int]:
        """Return how often which model took over from which, and why, since the process began."""
        return self._switched

    def _new(self, name: str) -> _Model:
        if len(self._models) >= MODELS:
            del self._models[min(self._models, key=lambda known: self._models[known].last)]
        model = self._models[name] = _Model()
        return model


class _Model:
    """One model's traffic."""

    __slots__ = ("_next", "_samples", "_slices", "last", "lifetime")

    def __init__(self) -> None:
        self.last = 0.0
        self.lifetime = Lifetime()
        self._slices: deque[_Slice] = deque(maxlen=round(WINDOW_S / _SLICE_S))
        # Five numbers for each good answer: when, first token, total, tokens, and the seconds that these took.
        self._samples = array("d")
        self._next = 0

    def add(self, attempt: ModelAttempt, now: float) -> None:
        self.last = now
        outcome = _OUTCOME_OF.get(attempt.outcome, "error")
        number = int(now / _SLICE_S)
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        newest = self._slices[-1]
        newest.calls += 1
        newest.errors += outcome not in GOOD
        self._count(attempt, outcome)
        if outcome == "ok":
            self._sample(attempt, now)

    def _count(self, attempt: ModelAttempt, outcome: Outcome) -> None:
        life = self.lifetime
        life.outcomes[outcome] = life.outcomes.get(outcome, 0) + 1
        life.cost_usd += attempt.cost_usd or 0.0
        life.possible_usd += attempt.possible_usd
        life.duration.add(attempt.duration_s)
        if attempt.first_token_s is not None:
            life.first_token.add(attempt.first_token_s)
        _add_tokens(life.tokens, attempt.usage)

    def _sample(self, attempt: ModelAttempt, now: float) -> None:
        total, first = attempt.duration_s, attempt.first_token_s
        tokens = attempt.usage.output_tokens or 0
        speaking_s = total - first if tokens and first is not None else 0.0
        if first is None:
            first = total
        sample = array("d", (now, first, total, tokens if speaking_s > 0 else 0.0, speaking_s))
        if len(self._samples) < _SAMPLES * _WIDTH:
            self._samples.extend(sample)
        else:
            self._samples[self._next : self._next + _WIDTH] = sample
        self._next = (self._next + _WIDTH) % (_SAMPLES * _WIDTH)

    def view(self, now: float, window_s: float) -> TrafficView:
        since = int((now - WINDOW_S) / _SLICE_S)
        slices = [each for each in self._slices if each.number > since]
        calls = sum(each.calls for each in slices)
        first, total, tokens, speaking = self._good(now - WINDOW_S)
        first, total, speaking_s = sorted(first), sorted(total), sum(speaking)
        return TrafficView(
            window_s=WINDOW_S,
            calls=calls,
            errors=sum(each.errors for each in slices),
            calls_per_min=calls * 60.0 / window_s,
            first_token_p50_s=_percentile(first, 0.5),
            first_token_p95_s=_percentile(first, 0.95),
            total_p50_s=_percentile(total, 0.5),
            total_p95_s=_percentile(total, 0.95),
            tokens_per_s=sum(tokens) / speaking_s if speaking_s else None,
        )

    def _good(self, since: float) -> list[Sequence[float]]:
        """Return first tokens, totals, tokens and time to speak of the good answers since then."""
        columns = [self._samples[at::_WIDTH] for at in range(_WIDTH)]
        times = columns.pop(0)
        if not times or min(times) > since:
            return list(columns)
        new = [at > since for at in times]
        return [list(compress(column, new)) for column in columns]


_WIDTH: Final = 5


@dataclass(slots=True, eq=False)
class _Slice:
    """The calls of one slice of time."""

    number: int
    calls: int = 0
    errors: int = 0


def _add_tokens(counts: dict[TokenType, int], usage: Usage) -> None:
    counted: tuple[tuple[TokenType, int | None], ...] = (
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cached", usage.cached_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("thinking", usage.thinking_tokens),
    )
    for kind, count in counted:
        if count:
            counts[kind] = counts.get(kind, 0) + count


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that this share of the values does not exceed; None of nothing."""
    if not ordered:
        return None
    return ordered[math.ceil(share * len(ordered)) - 1]
