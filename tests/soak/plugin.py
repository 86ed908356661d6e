"""A third party's tools for the endurance run: one looks up, one needs a yes; told to, the first one leaks.

`install` puts them where an installed package would be. A copy of this file is what the daemon loads.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.config.schema import ToolConfig
from clawd.tools.base import Consent, ToolPlugin, ToolResult, ToolSpec

if TYPE_CHECKING:
    from clawd.response import Effect, JsonObject
    from clawd.tools.base import ToolContext

LEAK: Final = "CLAWD_TEST_LEAK"  # set: every call of `look_up` keeps memory, a descriptor and a task
UPKEEP: Final = "CLAWD_TEST_UPKEEP"  # set: what is old is looked for each second, not each hour
_LEAK_BYTES = 200_000

_kept: list[object] = []

if UPKEEP in os.environ:
    from clawd.daemon import keeper

    keeper.FIRST_S = keeper.LEAST_S = keeper.MOST_S = 1.0  # type: ignore[misc] # days are short here


class WordTool:
    """Returns what it is asked about, in its own words."""

    def __init__(self, name: str, effect: Effect) -> None:
        self.spec = ToolSpec(
            name=name,
            description="Says what is known about a word.",
            parameters={"type": "object", "properties": {"word": {"type": "string"}}},
            effect=effect,
        )

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        del context
        if LEAK in os.environ:
            loop = asyncio.get_running_loop()
            _kept.extend(
                (bytearray(os.urandom(_LEAK_BYTES)), os.dup(2), loop.create_task(asyncio.sleep(3600)))
            )
        return ToolResult(known(str(arguments["word"])))


class CarefulTool(WordTool):
    """The same, after a person's yes."""

    def consent(self, arguments: JsonObject) -> Consent:
        return Consent(verdict="ask", subject=f"about {arguments['word']}")


def known(word: str) -> str:
    """Return what the tools say about a word."""
    return f"{word} is known"


LOOK_UP = ToolPlugin(
    name="look_up", config=ToolConfig, create=lambda _site, _config: WordTool("look_up", "pure")
)
CAREFUL = ToolPlugin(
    name="careful", config=ToolConfig, create=lambda _site, _config: CarefulTool("careful", "once")
)


def install(site: Path) -> None:
    """Write the package into a directory that goes onto PYTHONPATH."""
    from tests.fakes.distribution import install_distribution  # the daemon, which loads this file, has none

    points = {"look_up": "soak_tools:LOOK_UP", "careful": "soak_tools:CAREFUL"}
    source = Path(__file__).read_text(encoding="utf-8")
    install_distribution(site, "soak-tools", {"clawd.tools": points}, {"soak_tools": source})
