"""A tool of somebody else's, installed as a package of its own: it asks first, and notes each run in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fakes.distribution import install_distribution

NAME: Final = "push"

_SOURCE: Final = '''
"""Pushes: every run is a line in the file of the setting `runs`."""

from pathlib import Path

from clawd.config.schema import ToolConfig
from clawd.tools.base import Consent, ToolPlugin, ToolResult, ToolSpec


class PushConfig(ToolConfig):
    runs: str


class Push:
    spec = ToolSpec(
        name="push",
        description="Pushes a line.",
        parameters={"type": "object", "properties": {"line": {"type": "string"}}, "required": ["line"]},
        effect="once",
    )

    def __init__(self, site, config):
        self._runs = Path(config.runs)

    def consent(self, arguments):
        return Consent(verdict="ask", subject=arguments["line"])

    async def call(self, arguments, context):
        with self._runs.open("a", encoding="utf-8") as file:
            file.write(arguments["line"] + "\\n")
        return ToolResult("pushed")


PLUGIN = ToolPlugin(name="push", config=PushConfig, create=Push)
'''


def install(folder: Path) -> None:
    """Put the package into a folder, which is then to be on the path of the daemon."""
    points = {"clawd.tools": {"push": "clawd_push:PLUGIN"}}
    install_distribution(folder, "clawd-push", points, {"clawd_push": _SOURCE})


def runs(file: Path) -> list[str]:
    """Return what was pushed, in order."""
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
