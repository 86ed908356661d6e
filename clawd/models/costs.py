"""What tokens cost. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.config.schema import PriceConfig
    from clawd.response import Usage

_MILLION: Final = 1_000_000


def cost_of(price: PriceConfig | None, usage: Usage) -> float | None:
    """Return what a counted request cost in US dollars; None without a price or without a count."""
    if price is None or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    cached = usage.cached_tokens or 0
    written = usage.cache_write_tokens or 0
    plain = max(0, (usage.input_tokens or 0) - cached - written)
    dollars = (
        plain * price.input
        + cached * (price.input if price.cached is None else price.cached)
        + written * (price.input if price.cache_write is None else price.cache_write)
        + (usage.output_tokens or 0) * price.output
    )
    return dollars / _MILLION


def reserve_of(price: PriceConfig | None, input_tokens: int, output_tokens: int) -> float | None:
    """Return what a request may cost at most in US dollars, its answer that long; None without a price."""
    if price is None:
        return None
    dearest = max(price.input, price.cache_write or 0.0)
    return (input_tokens * dearest + output_tokens * price.output) / _MILLION
