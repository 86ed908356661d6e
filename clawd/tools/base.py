"""The tool contract. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, runtime_checkable

from clawd.config.schema import ToolConfig
from clawd.response import Effect, JsonObject, JsonValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from clawd.ids import Clock, TurnId
    from clawd.journal.search import History
    from clawd.messages import Address, Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What the model is told about a tool, and what a crash means for it."""

    name: str  # [a-z0-9_], at most 64
    description: str
    parameters: Mapping[str, JsonValue]  # JSON Schema of the arguments, type object
    effect: Effect
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """For whom and as what a call runs."""

    turn: TurnId
    step: int
    address: Address
    sender: Sender
    clock: Clock
    history: History | None = None  # what was said in the conversation, where that can be searched

    @property
    def key(self) -> str:
        """The idempotency key of a `keyed` call: equal for every attempt of this step."""
        return f"{self.turn}:{self.step}"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model gets back."""

    text: str


class Tool(Protocol):
    """Something that the model may call."""

    spec: ToolSpec

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        """Run once.

        Raises:
            ToolRetry: the arguments are wrong in a way that the model may correct.
            ToolFailed: final.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Whether one call may run: at once, after a person's yes, or never."""

    verdict: Literal["auto", "ask", "deny"]
    subject: str  # what a person is shown of the call, and what "always" patterns match: a command line


@runtime_checkable
class AskingTool(Tool, Protocol):
    """A tool whose calls may need a person's word first; a tool without this runs at once."""

    def consent(self, arguments: JsonObject) -> Consent:
        """Return what the settings say of a call with these valid arguments; pure, no effect."""
        ...


__all__ = [
    "AskingTool",
    "Consent",
    "Effect",
    "JsonObject",
    "JsonValue",
    "Tool",
    "ToolContext",
    "ToolPlugin",
    "ToolResult",
    "ToolSite",
    "ToolSpec",
]

C = TypeVar("C", bound=ToolConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSite:
    """Where a tool is made: the installation, as far as tools are concerned."""

    state_dir: Path  # absolute; a tool that keeps files takes a folder of its own in it
    environ: Mapping[str, str]  # the daemon's; it holds secrets, so no child gets it whole
    private: tuple[Path, ...] = ()  # files and folders that nothing a tool runs may read


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlugin(Generic[C]):
    """The object behind an entry point of the group `clawd.tools`; importing it must be cheap."""

    name: str
    config: type[C]
    create: Callable[[ToolSite, C], Tool]  # called in a thread: it may read files and run a short program
