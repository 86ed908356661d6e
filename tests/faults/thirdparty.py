"""What somebody else's package brings into the daemon: tools and a model that take the process along.

`install` writes the package's metadata into a folder; with that on PYTHONPATH the real daemon finds them
through its entry points, as it would find any installed package. It is a file of its own that no part of
clawd knows.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clawd.config.schema import ToolConfig
from clawd.messages import Text
from clawd.models.base import Completed, ModelConfig, ModelPlugin, TextDelta, UserMessage
from clawd.response import ModelResponse, Usage
from clawd.tools.base import ToolPlugin, ToolResult, ToolSpec
from tests.fakes.distribution import install_distribution

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ManagedProvider, ModelContext, ModelEvent, ModelRequest
    from clawd.response import Effect, JsonObject
    from clawd.tools.base import ToolContext

CALLS = "CLAWD_TEST_CALLS"  # a file that gets a line per call, before anything happens
FUSE = "CLAWD_TEST_FUSE"  # a file: what kills waits until it is there

_ENTRY_POINTS = {
    "clawd.tools": {
        "poison": "tests.faults.thirdparty:POISON",
        "poison_once": "tests.faults.thirdparty:POISON_ONCE",
    },
    "clawd.models": {"poison": "tests.faults.thirdparty:MODEL"},
}


def install(folder: Path) -> dict[str, str]:
    """Install the package into a folder; return the environment in which the daemon finds it."""
    install_distribution(folder, "clawd-poison", _ENTRY_POINTS)
    return {
        "PYTHONPATH": str(folder),
        CALLS: str(folder / "calls"),
        FUSE: str(folder / "fuse"),
    }


def calls(folder: Path) -> int:
    """Return how often one of these was called, over all processes."""
    path = folder / "calls"
    return len(path.read_text(encoding="ascii").splitlines()) if path.exists() else 0


# --- inside the daemon ----------------------------------------------------------------------------------

_hoard: list[bytearray] = []


def _note_call() -> None:
    with Path(os.environ[CALLS]).open("a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


def _end(how: str) -> None:
    """Take the process along, or its memory."""
    match how:
        case "exit":
            os._exit(139)
        case "kill":  # as the kernel does to who takes too much memory
            os.kill(os.getpid(), signal.SIGKILL)
        case "hoard":
            for size in (1 << 24, 1 << 20, 1 << 16, 1 << 12, 1 << 9):
                try:
                    while True:
                        _hoard.append(bytearray(size))
                except MemoryError:
                    continue
            raise MemoryError
        case _:
            raise ValueError(how)


class Poison:
    """A tool whose call ends the process once the fuse is there."""

    def __init__(self, name: str, effect: Effect) -> None:
        self.spec = ToolSpec(
            name=name,
            description="Ends the process.",
            parameters={"type": "object", "properties": {"how": {"type": "string"}}},
            effect=effect,
        )

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        _note_call()
        while not Path(os.environ[FUSE]).exists():
            await context.clock.sleep(0.01)
        _end(str(arguments["how"]))
        return ToolResult("nothing happened")


class PoisonModelConfig(ModelConfig):
    """The section of a model of this type."""

    type: Literal["poison"] = "poison"


class PoisonModel:
    """A model that ends the process when it is asked about poison, and else repeats what was said."""

    def __init__(self, _context: ModelContext, config: PoisonModelConfig) -> None:
        self.name = config.name
        self.model = "poison"
        self.place = "a package of somebody else"
        self.offers_tools = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        asked = next(m for m in reversed(request.messages) if isinstance(m, UserMessage))
        text = "".join(part.text for part in asked.parts if isinstance(part, Text))
        if "poison" in text:
            _note_call()
            await asyncio.sleep(0.2)  # long enough for others to be claimed beside it
            _end("exit")
        if text == "slow":
            await asyncio.sleep(0.5)  # longer than poison takes
        yield TextDelta(f"you said: {text}")
        usage = Usage(input_tokens=1, output_tokens=1)
        yield Completed(
            ModelResponse(
                model=self.name, text=f"you said: {text}", tool_calls=(), finish="stop", usage=usage
            )
        )

    async def probe(self) -> str:
        return "it answers"

    async def close(self) -> None:
        """Nothing is open."""


def _model(context: ModelContext, config: PoisonModelConfig) -> ManagedProvider:
    return PoisonModel(context, config)


POISON = ToolPlugin(name="poison", config=ToolConfig, create=lambda _site, _config: Poison("poison", "pure"))
POISON_ONCE = ToolPlugin(
    name="poison_once", config=ToolConfig, create=lambda _site, _config: Poison("poison_once", "once")
)
MODEL = ModelPlugin(type="poison", config=PoisonModelConfig, create=_model)
