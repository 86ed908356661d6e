"""The model contract: one request, a stream of events, one response. No I/O."""

from __future__ import annotations

import builtins
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

from clawd.config.schema import BreakerConfig, ModelConfig, NetworkConfig
from clawd.errors import ModelUnavailable
from clawd.response import FinishReason, ModelAttempt, ModelResponse, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from clawd.ids import Clock
    from clawd.messages import Part
    from clawd.tools.base import ToolSpec


__all__ = [
    "AssistantMessage",
    "ChatMessage",
    "Completed",
    "DescribedProvider",
    "FinishReason",
    "ManagedProvider",
    "ModelAttempt",
    "ModelConfig",
    "ModelContext",
    "ModelEvent",
    "ModelInfo",
    "ModelPlugin",
    "ModelProvider",
    "ModelRequest",
    "ModelResponse",
    "Progress",
    "RunningProvider",
    "Switched",
    "SystemMessage",
    "TextDelta",
    "ToolCall",
    "ToolMessage",
    "Usage",
    "UserMessage",
    "collect",
    "with_attempts",
]

# --- request ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """Instructions."""

    text: str


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What a person said."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantMessage:
    """What a model said earlier, with the calls it asked for."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolMessage:
    """What a call returned."""

    call_id: str
    name: str
    text: str


ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model call, independent of the wire format."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    route: str = "default"
    pin: str | None = None  # a model's name: try it before the route's own order
    max_tokens: int | None = None
    temperature: float | None = None


# --- events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More visible text."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life without visible text: reasoning, tool-call fragments, keep-alives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """Another model begins again from nothing: text shown so far is void."""

    from_model: str
    to_model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The last event of every stream that did not raise."""

    response: ModelResponse


ModelEvent = TextDelta | Progress | Switched | Completed


class ModelProvider(Protocol):
    """Anything that answers requests: a wire client, a route over several, a breaker around one."""

    name: str

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Yield events and end with exactly one `Completed`; closing the generator frees the socket.

        Raises:
            ModelError: one of its kinds. An empty answer without tool calls is `ModelUnavailable`.
        """
        ...


async def collect(
    provider: ModelProvider,
    request: ModelRequest,
    on_event: Callable[[ModelEvent], None] | None = None,
) -> ModelResponse:
    """Return the complete response of one stream, showing each event to `on_event` on the way."""
    async with aclosing(provider.stream(request)) as events:
        async for event in events:
            if on_event is not None:
                on_event(event)
            if isinstance(event, Completed):
                return event.response
    raise ModelUnavailable(provider.name, "the stream ended without an answer")


def with_attempts(response: ModelResponse, attempts: tuple[ModelAttempt, ...]) -> ModelResponse:
    """Return the response with the attempts that led to it."""
    return replace(response, attempts=attempts)


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
    last_error: str = ""


# --- plugins ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContext:
    """What the daemon hands to a provider when it creates it."""

    network: NetworkConfig
    limits: BreakerConfig
    clock: Clock
    version: str
    environ: Mapping[str, str]


C = TypeVar("C", bound=ModelConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlugin(Generic[C]):
    """The object behind an entry point of the group `clawd.models`; importing it must be cheap."""

    type: str
    config: builtins.type[C]
    create: Callable[[ModelContext, C], ManagedProvider]


class ManagedProvider(ModelProvider, Protocol):
    """A provider that holds something open."""

    offers_tools: bool  # False: requests to it must carry no tools

    async def probe(self) -> str:
        """Return one line that proves the model answers; raises ModelError. Used by `models test`."""
        ...

    async def close(self) -> None:
        """Free sockets and children; further calls are an error."""
        ...


@runtime_checkable
class DescribedProvider(Protocol):
    """A provider that says what it is, for `clawd models list`."""

    model: str  # the provider's own name for the model
    place: str  # base URL, or where it runs


@runtime_checkable
class RunningProvider(Protocol):
    """A provider with work of its own between requests, such as ending an idle child."""

    async def run(self) -> None:
        """Do that work until cancelled; nothing happens while there is none."""
        ...
