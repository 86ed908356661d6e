"""What a request may take and cost before anybody has counted."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from clawd.models.costs import cost_of, reserve_of
from clawd.models.tokens import estimate_message, estimate_text, estimate_tools
from clawd.response import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clawd.config.schema import PriceConfig
    from clawd.models.base import ModelRequest
    from clawd.models.windows import ModelSize

ANSWER_TOKENS: Final = 4096
"""How long an answer is taken to be at most, where neither request nor model says."""

_MOST_TOKENS: Final = 10_000_000  # that a window, or an answer with its thoughts, may have
_TIMES: Final = 100  # how far from the truth an estimate may be
_LETTERS: Final = 32  # more than a token of text ever has


class Estimate:
    """Of one request; counted at most once, and only where somebody wants to know."""

    def __init__(self, request: ModelRequest) -> None:
        self._request = request

    @cached_property
    def input_tokens(self) -> int:
        """Messages and tools together."""
        request = self._request
        if request.input_tokens is not None:
            return request.input_tokens
        return sum(map(estimate_message, request.messages)) + estimate_tools(request.tools)

    def reserve_usd(self, price: PriceConfig | None, size: ModelSize) -> float | None:
        """Return what the request may cost at most at a model of this price and size; None without a price."""
        if price is None:
            return None
        return reserve_of(price, self.input_tokens, self._longest(size))

    def input_usd(self, price: PriceConfig | None) -> float:
        """Return what the request costs before anything is answered; nothing without a price."""
        return cost_of(price, Usage(input_tokens=self.input_tokens)) or 0.0 if price is not None else 0.0

    def possible_usd(
        self, price: PriceConfig | None, size: ModelSize, texts: Iterable[str], marks: int
    ) -> float:
        """Return what it may have cost so far, at most its reserve; nothing without a price.

        Args:
            price: The model's.
            size: Its longest answer: what a stream sends beyond that is a fault of the stream, and no guess
                may spend a budget by it.
            texts: What it has answered.
            marks: How many pieces it has sent that were no text.
        """
        if price is None:
            return 0.0
        longest = self._longest(size)
        text = "".join(texts)[: longest * _LETTERS]  # an endless one is not counted whole
        written = min(longest, estimate_text(text) + marks)
        return cost_of(price, Usage(input_tokens=self.input_tokens, output_tokens=written)) or 0.0

    def believes(self, usage: Usage) -> bool:
        """Whether a provider's count can be true.

        Much more than was sent can't have been read, and nobody writes millions of tokens in one answer. Thoughts
        that are kept back are paid too, so that what has come says nothing about the output.
        """
        if (usage.output_tokens or 0) > _MOST_TOKENS:
            return False
        read = max(usage.input_tokens or 0, usage.cached_tokens or 0, usage.cache_write_tokens or 0)
        return read <= _MOST_TOKENS or read <= self.input_tokens * _TIMES

    def _longest(self, size: ModelSize) -> int:
        """Return how many tokens an answer may have at most."""
        longest = self._request.max_tokens or size.max_tokens or ANSWER_TOKENS
        return longest if size.context_tokens is None else min(longest, size.context_tokens)
