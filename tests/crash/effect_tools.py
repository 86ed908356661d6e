"""A third party's package of tools whose effects are seen outside: each call is a POST to `EFFECTS_URL`.

`install` puts it where an installed package would be, so the daemon finds it through its entry points.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from clawd.config.schema import ToolConfig
from clawd.tools.base import Consent, Effect, ToolPlugin, ToolResult, ToolSpec

if TYPE_CHECKING:
    from clawd.response import JsonObject
    from clawd.tools.base import ToolContext

VARIABLE: Final = "EFFECTS_URL"
KINDS: Final[tuple[Effect, ...]] = ("pure", "idempotent", "keyed", "once")


class NoteTool:
    """Tells the outside that it was called, and as what."""

    def __init__(self, effect: Effect, name: str = "") -> None:
        self.spec = ToolSpec(
            name=f"note_{name or effect}",
            description=f"Leaves a note ({effect}).",
            parameters={"type": "object"},
            effect=effect,
        )

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        body = {"tool": self.spec.name, "key": context.key, "arguments": arguments}
        async with (
            aiohttp.ClientSession() as session,
            session.post(os.environ[VARIABLE], json=body) as response,
        ):
            return ToolResult(await response.text())


class AskingNoteTool(NoteTool):
    """The same, after a person's yes."""

    def consent(self, arguments: JsonObject) -> Consent:
        return Consent(verdict="ask", subject=f"note {arguments['place']}")


def _plugin(effect: Effect) -> ToolPlugin[ToolConfig]:
    return ToolPlugin(
        name=f"note_{effect}", config=ToolConfig, create=lambda _site, _config: NoteTool(effect)
    )


PURE, IDEMPOTENT, KEYED, ONCE = (_plugin(effect) for effect in KINDS)
ASKED = ToolPlugin(
    name="note_asked", config=ToolConfig, create=lambda _site, _config: AskingNoteTool("once", "asked")
)


def install(site: Path) -> None:
    """Write the package `effect_tools` with its metadata into a directory that goes onto PYTHONPATH."""
    from tests.fakes.distribution import install_distribution  # the daemon, which loads this file, has none

    points = {f"note_{effect}": f"effect_tools:{effect.upper()}" for effect in (*KINDS, "asked")}
    source = Path(__file__).read_text(encoding="utf-8")
    install_distribution(site, "effect-tools", {"clawd.tools": points}, {"effect_tools": source})
