"""What is told of the models in use, for operators: `clawd models list`, `clawd status`, alerts. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clawd.models.states import BreakerState

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.config.schema import PriceConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model, as `clawd models list` shows it."""

    name: str
    type: str
    model: str  # the provider's own name for it
    place: str  # base URL, or where it runs
    found: str  # "config", "environment OPENAI_API_KEY", "loopback", "installed", "built in"
    routes: tuple[str, ...]
    calls: int = 0
    errors: int = 0
    last_error: str = ""  # empty once it has answered since
    last_error_at: datetime | None = None
    breaker: BreakerState = field(default_factory=BreakerState)
    in_flight: int = 0
    waiting: int = 0  # for their turn, where the model's own limits let no more through
    paused_until: datetime | None = None  # its key was told to slow down
    held_until: datetime | None = None  # about: its own limits let nothing through before
    held_by: str = ""  # the limit, by its key in the configuration
    window_found: int | None = None  # tokens: its provider was found to take less than was believed
    price: PriceConfig | None = None
    traffic: TrafficView | None = None
    spent: str = ""  # the budget that keeps everybody from asking it: "day", "month" or "model"
    spent_until: datetime | None = None  # when that begins anew


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficView:
    """What went through one model in the last `window_s` seconds; None where there was nothing to measure."""

    window_s: float
    calls: int = 0
    errors: int = 0
    calls_per_min: float = 0.0
    first_token_p50_s: float | None = None
    first_token_p95_s: float | None = None
    total_p50_s: float | None = None
    total_p95_s: float | None = None
    tokens_per_s: float | None = None  # of output, after the first token


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchSeen:
    """Another model took over."""

    at: datetime
    route: str
    from_model: str
    to_model: str
    reason: str  # the error's code, "hedge", or as `PassedOver.reason`
