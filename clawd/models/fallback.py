"""A provider over several: the first that answers is used, and the next takes over when one fails.

The router proper (breaker, hedge, budgets) wraps the same contract later.
"""

from __future__ import annotations

import random
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from clawd.errors import ModelError, ModelRateLimited, ModelsExhausted, ModelUnavailable
from clawd.models.base import Completed, ModelAttempt, ModelProvider, Switched, TextDelta, with_attempts
from clawd.models.tool_calls import sane_calls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from clawd.ids import Clock
    from clawd.models.base import ModelEvent, ModelRequest
    from clawd.response import ModelResponse

RETRY_DELAYS_S: Final = (0.3, 1.0, 2.5)  # before each further round; nothing is switched to for so long
_LONGEST_WAIT_S: Final = 20.0  # a provider that wants more patience than this is not waited for


@dataclass(slots=True)
class _Failed:
    """The last failure of one model in this request."""

    provider: ModelProvider
    error: ModelError

    @property
    def worth_repeating(self) -> bool:
        """Whether the same request may succeed in a moment."""
        if isinstance(self.error, ModelRateLimited):
            return (self.error.retry_after_s or 0) <= _LONGEST_WAIT_S
        return isinstance(self.error, ModelUnavailable) and self.error.transient


class Fallback:
    """Asks models in order; see `ModelProvider` for what `stream` promises.

    A model that fails is followed by the next at once, told by `Switched`; text shown before that is
    void. When all have failed, those whose error is transient are asked again after a short wait,
    longer where a provider says so. The attempts of the whole request are attached to the response.

    Args:
        name: The route's name.
        providers: In the order to try; at least one.
        clock: Measures and waits.
        jitter: Returns a factor for each wait, so that many turns do not return at the same moment.
    """

    def __init__(
        self,
        name: str,
        providers: Sequence[ModelProvider],
        clock: Clock,
        *,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - spreads load, hides nothing
    ) -> None:
        self.name = name
        self.providers = tuple(providers)
        self._clock = clock
        self._jitter = jitter

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        attempts: list[ModelAttempt] = []
        failed: dict[str, _Failed] = {}
        round_of: Sequence[ModelProvider] = self.providers
        shown = False
        last: _Failed | None = None
        for delay_s in (0.0, *RETRY_DELAYS_S):
            if delay_s:
                round_of = [f.provider for f in failed.values() if f.worth_repeating]
                if not round_of:
                    break
                await self._clock.sleep(self._patience(failed, delay_s))
            for provider in round_of:
                if last is not None and (shown or last.provider.name != provider.name):
                    yield Switched(
                        from_model=last.provider.name, to_model=provider.name, reason=last.error.code
                    )
                    shown = False
                attempt = _Attempt(provider, self._clock)
                try:
                    async with aclosing(attempt.stream(request)) as events:
                        async for event in events:
                            if isinstance(event, Completed):
                                attempts.append(attempt.ended(event.response))
                                yield Completed(with_attempts(event.response, tuple(attempts)))
                                return
                            shown = shown or isinstance(event, TextDelta)
                            yield event
                except ModelError as error:
                    attempts.append(attempt.failed(error))
                    last = _Failed(provider, error)
                    failed[provider.name] = last
        raise ModelsExhausted(self.name, [f.error for f in failed.values()])

    def _patience(self, failed: dict[str, _Failed], delay_s: float) -> float:
        """Return how long to wait: our own delay, or the shortest that all waiting providers ask for."""
        waits = [
            (f.error.retry_after_s or 0) if isinstance(f.error, ModelRateLimited) else 0.0
            for f in failed.values()
            if f.worth_repeating
        ]
        return max(delay_s * self._jitter(), min(waits))


class _Attempt:
    """One request to one model: measured, and held to the contract."""

    def __init__(self, provider: ModelProvider, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._begun = clock.monotonic()
        self._first_token_s: float | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        name = self._provider.name
        async with aclosing(self._provider.stream(request)) as events:
            async for event in events:
                if self._first_token_s is None and not isinstance(event, Switched):
                    self._first_token_s = self._clock.monotonic() - self._begun
                if isinstance(event, Completed):
                    response = replace(event.response, tool_calls=sane_calls(event.response.tool_calls))
                    if not response.text.strip() and not response.tool_calls:
                        raise ModelUnavailable(
                            name, "the model's answer is empty", why="no text, no tool call"
                        )
                    yield Completed(response)
                    return
                yield event
        raise ModelUnavailable(name, "the stream ended without an answer")

    def ended(self, response: ModelResponse) -> ModelAttempt:
        return self._result("ok", usage=response)

    def failed(self, error: ModelError) -> ModelAttempt:
        return self._result(error.code, detail=error.why or error.what)

    def _result(self, outcome: str, *, detail: str = "", usage: ModelResponse | None = None) -> ModelAttempt:
        result = ModelAttempt(
            model=self._provider.name,
            outcome=outcome,
            detail=detail,
            duration_s=round(self._clock.monotonic() - self._begun, 6),
            first_token_s=None if self._first_token_s is None else round(self._first_token_s, 6),
        )
        return result if usage is None else replace(result, usage=usage.usage)
