"""A provider that keeps to limits: so many requests at a time, so many and so many tokens a minute."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.errors import ModelRateLimited
from clawd.models.base import Completed
from clawd.models.pace import Pace, PaceLimits
from clawd.models.pauses import KeyPauses
from clawd.models.tokens import TokenCounter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

    from clawd.ids import Clock
    from clawd.models.base import ModelEvent, ModelProvider, ModelRequest
    from clawd.models.paces import Paces
    from clawd.response import Usage

__all__ = ["KeyPauses", "PaceLimits", "Paced"]

_ANSWER_TOKENS: Final = 500  # held for an answer whose request sets no `max_tokens`


class Paced:
    """Lets requests through as fast as a model's limits and its key allow; see `ModelProvider`.

    It belongs outside of whatever measures the model: who waits here has not asked it yet. Requests wait
    in turns of their conversations (without one, of their users); closing the stream gives up the place.
    A 429 makes all models of the same key rest: until that is over `stream` raises ModelRateLimited at once,
    with the rest of the time.

    Tokens are taken before the request, its estimated input and its longest answer, and corrected when the
    provider has counted. A request that broke off keeps its estimate: it may have cost that.

    Args:
        provider: Who is asked.
        limits: What it may be asked.
        pauses: Shared by all models of a daemon.
        key_id: As in `KeyedProvider`; "" for a provider without a key.
        clock: Measures and waits.
    """

    def __init__(
        self, provider: ModelProvider, limits: PaceLimits, pauses: KeyPauses, key_id: str, clock: Clock
    ) -> None:
        self.name = provider.name
        self._provider = provider
        self._pauses = pauses
        self._clock = clock
        self._pace = Pace(provider.name, limits, pauses, key_id, clock)

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return self._pace.in_flight

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._pace.waiting

    def paused_until(self) -> datetime | None:
        """Return when the pause of its key ends, None when there is none."""
        return self._pauses.until(self._pace.key_id)

    def held_until(self) -> tuple[datetime | None, str]:
        """Return when about its own limits let the next request through, and which holds it; None: at once."""
        wait_s, limit = self._pace.held()
        return (self._clock.now() + timedelta(seconds=wait_s), limit) if wait_s else (None, "")

    def wait_s(self) -> float:
        """Return about how many seconds a request that came now would wait; 0: it may begin."""
        return self._pace.wait_s()

    def share(self, paces: Paces, identity: str) -> None:
        """Go on from the pace of the same model in an earlier configuration; before the first request."""
        self._pace = paces.of(identity, self._pace)

    async def stream(
        self, request: ModelRequest, on_begin: Callable[[], None] | None = None
    ) -> AsyncGenerator[ModelEvent, None]:
        """Yield the events of the answer, as `ModelProvider.stream` does.

        Args:
            request: What is asked.
            on_begin: Called when the request has its turn, at once or after a wait. Until then the model
                knows nothing of it: no time of it is the model's, and it costs nothing.

        Raises:
            ModelRateLimited: its key rests, or was told to rest by the answer.
            ModelError: as the provider does.
        """
        pace, tags = self._pace, request.tags
        entered = await pace.enter(tags.conversation or tags.user, self._tokens_of(request))
        try:
            if on_begin is not None:
                on_begin()
            async with aclosing(self._provider.stream(request)) as events:
                async for event in events:
                    if isinstance(event, Completed):
                        self._pauses.answered(pace.key_id, began=entered.began)
                        pace.leave(entered, _counted(event.response.usage))
                    yield event
        except ModelRateLimited as error:
            self._pauses.refused(pace.key_id, error.retry_after_s, began=entered.began, why=error.why)
            raise
        finally:
            pace.leave(entered)

    def _tokens_of(self, request: ModelRequest) -> int:
        """Return what the request is going to take at most, as far as anybody can tell."""
        if self._pace.limits.tokens_per_min is None:
            return 0
        tokens = request.input_tokens
        if tokens is None:
            counter = TokenCounter()
            tokens = counter.messages(request.messages) + counter.tools(request.tools)
        return tokens + (request.max_tokens or _ANSWER_TOKENS)


def _counted(usage: Usage) -> int | None:
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return (usage.input_tokens or 0) + (usage.output_tokens or 0)
