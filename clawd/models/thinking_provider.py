"""The client of formats that want a model's earlier thinking back, and may refuse what they get."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from clawd.errors import ModelUnavailable
from clawd.models.base import AssistantMessage
from clawd.models.wire_client import WireProvider
from clawd.models.wire_config import WireConfig

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelContext, ModelEvent, ModelRequest
    from clawd.models.wire import WireFormat

C = TypeVar("C", bound=WireConfig)


class ThinkingProvider(WireProvider[C]):
    """Asks one model, and once more without its earlier thinking where the API refuses that.

    A seal holds only as long as all that stood before it: instructions, tools, messages. A conversation that
    was summed up in the middle of a turn, a reload that changed the tools or a key of another account breaks
    it, and the turn could never go on.

    Args:
        context: What the daemon hands to providers.
        config: The model's section.
        wire: Its format.
        refusals: Parts of what the API says of thinking that it does not take back, in lower case.
    """

    def __init__(
        self, context: ModelContext, config: C, wire: WireFormat[C], refusals: tuple[str, ...]
    ) -> None:
        super().__init__(context, config, wire)
        self._refusals = refusals

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        begun = False
        without: ModelRequest | None = None
        try:
            async with aclosing(super().stream(request)) as events:
                async for event in events:
                    begun = True
                    yield event
        except ModelUnavailable as error:
            without = self._other_try(request, error)
            if begun or without is None:
                raise
        if without is not None:
            async with aclosing(super().stream(without)) as events:
                async for event in events:
                    yield event

    def _other_try(self, request: ModelRequest, error: ModelUnavailable) -> ModelRequest | None:
        """Return the request without thinking, None where the thinking was not what was refused."""
        words = error.why.lower()
        if not any(part in words for part in self._refusals):
            return None
        without = _without_thinking(request)
        return without if without != request else None


def _without_thinking(request: ModelRequest) -> ModelRequest:
    messages = tuple(
        replace(message, thinking=())
        if isinstance(message, AssistantMessage) and message.thinking
        else message
        for message in request.messages
    )
    return request if messages == request.messages else replace(request, messages=messages)
