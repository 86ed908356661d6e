"""Somebody else's package on PYTHONPATH: a tool that asks before it runs, and a bridge that may not repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fakes.distribution import install_distribution

_CODE: Final = '''
import asyncio
from pathlib import Path

from clawd.bridge import BridgeConfig, BridgePlugin
from clawd.config.schema import ToolConfig
from clawd.errors import DeliveryUnknown
from clawd.messages import BridgeCapabilities, Receipt
from clawd.tools.base import Consent, ToolPlugin, ToolResult, ToolSpec

HERE = Path(__file__).parent


class Writer:
    """Appends lines to `ran`; one that begins with "hold" ends once `released` is there."""

    spec = ToolSpec(
        name="writer",
        description="Writes a line.",
        parameters={"type": "object", "properties": {"line": {"type": "string"}}, "required": ["line"]},
        effect="once",
    )

    def consent(self, arguments):
        line = str(arguments["line"])
        return Consent(verdict="auto" if line.startswith("hold") else "ask", subject=line)

    async def call(self, arguments, context):
        line = str(arguments["line"])
        with (HERE / "ran").open("a") as file:
            file.write(f"{line}\\n")
        while line.startswith("hold") and not (HERE / "released").exists():
            await asyncio.sleep(0.02)
        return ToolResult("written")


class Once:
    """Can't tell whether what it sends arrives, as long as `broken` is there; else keeps it in `sent`."""

    capabilities = BridgeCapabilities(text_limit=1000)

    def __init__(self, name):
        self.name = name

    async def run(self, inbox, ready):
        ready()
        await asyncio.Event().wait()

    async def send(self, message):
        if (HERE / "broken").exists():
            raise DeliveryUnknown(self.name, "the answer did not come", where=message.id)
        with (HERE / "sent").open("a") as file:
            file.write(f"{message.text}\\n")
        return Receipt(remote_id="1")


TOOL = ToolPlugin(name="writer", config=ToolConfig, create=lambda site, config: Writer())
BRIDGE = BridgePlugin(type="once", config=BridgeConfig, create=lambda context, config: Once(context.name))
'''


def install(directory: Path) -> None:
    """Put the package into a directory, which has to be on the daemon's PYTHONPATH."""
    points = {"clawd.tools": {"writer": "theirs:TOOL"}, "clawd.bridges": {"once": "theirs:BRIDGE"}}
    install_distribution(directory, "theirs", points, {"theirs": _CODE})
