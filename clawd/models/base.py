"""The model contract: one request, a stream of events, one response. No I/O."""

from __future__ import annotations

import builtins
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, runtime_checkable

from clawd.config.schema import BreakerConfig, ModelConfig, NetworkConfig
from clawd.errors import ModelUnavailable
from clawd.media import NoArtifacts
from clawd.observability.redact import Redactor
from clawd.response import FinishReason, ModelAttempt, ModelResponse, Thinking, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from clawd.ids import Clock
    from clawd.media import Artifacts
    from clawd.messages import Part
    from clawd.response import JsonValue
    from clawd.tools.base import ToolSpec


__all__ = [
    "AssistantMessage",
    "ChatMessage",
    "Completed",
    "DescribedProvider",
    "FinishReason",
    "KeyedProvider",
    "ManagedProvider",
    "ModelAttempt",
    "ModelConfig",
    "ModelContext",
    "ModelEvent",
    "ModelPlugin",
    "ModelProvider",
    "ModelRequest",
    "ModelResponse",
    "OutputSchema",
    "Progress",
    "RequestTags",
    "Reserve",
    "RoutedProvider",
    "RunningProvider",
    "Switched",
    "SystemMessage",
    "TextDelta",
    "Thinking",
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
    # What it thought on the way to its calls, and which model did: of use to that model alone, and only until
    # the turn is over.
    thinking: tuple[Thinking, ...] = ()
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolMessage:
    """What a call returned."""

    call_id: str
    name: str
    text: str


ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTags:
    """On whose behalf a request is made: for budgets and for fair queues. Empty: nobody's."""

    bridge: str = ""
    conversation: str = ""  # the address
    user: str = ""  # BRIDGE:SENDER
    direct: bool = False  # asked by no turn: no record of the journal will tell what it cost


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSchema:
    """The answer is to be JSON of this form."""

    name: str  # a-z, A-Z, 0-9, _ and -
    schema: Mapping[str, JsonValue]  # JSON Schema
    strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model call, independent of the wire format.

    A picture is sent to models when its `ref` is an https, http or data URL, or that of a stored file; of others,
    and of sounds and files, the model only learns that something was there.
    """

    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    route: str = "default"
    pin: str | None = None  # a model's name: try it before the route's own order
    strict: bool = False  # only the pinned model, or the route's first
    max_tokens: int | None = None
    temperature: float | None = None
    schema: OutputSchema | None = None
    # The answer ends where one of these would stand; formats that know no such limit give more than that.
    stop: tuple[str, ...] = ()
    # One of these tools is to be called, where the format can ask for it; empty: as the model likes.
    must_call: tuple[str, ...] = ()
    tags: RequestTags = RequestTags()
    input_tokens: int | None = None  # an estimate of messages and tools together; None: nobody made one
    min_context_tokens: int | None = None  # models that say that their window is smaller are passed over


# --- events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More visible text."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life without visible text; a keep-alive comes from the server, the others from the model."""

    what: Literal["thinking", "tool_call", "keepalive"] = "thinking"


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


# --- a provider that chooses -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """Which model a request will be asked of first, and what that may cost."""

    model: str
    usd: float | None  # None: no price
    input_usd: float = 0.0  # of that, what the input alone costs


class RoutedProvider(ModelProvider, Protocol):
    """A router: a provider that chooses among models."""

    def reserve(self, request: ModelRequest) -> Reserve:
        """Return whom `stream` would ask now; raises ModelError where there is nobody to ask."""
        ...


# --- plugins ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContext:
    """What the daemon hands to a provider when it creates it."""

    network: NetworkConfig
    limits: BreakerConfig
    clock: Clock
    version: str
    environ: Mapping[str, str]
    redactor: Redactor = field(default_factory=Redactor)  # knows what errors must not quote
    files: Artifacts = field(default_factory=NoArtifacts)  # where pictures of requests are read


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
class KeyedProvider(Protocol):
    """A provider whose requests are made with a key: models with the same `key_id` share its limits."""

    key_id: str  # tells keys of one host apart without giving them away; "": none, and nothing is shared


@runtime_checkable
class RunningProvider(Protocol):
    """A provider with work of its own between requests, such as ending an idle child."""

    async def run(self) -> None:
        """Do that work until cancelled; nothing happens while there is none."""
        ...
