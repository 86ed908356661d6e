"""The tools of this installation: which are offered to whom, and the one place where a call is made."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

from clawd.errors import ClawdError, ToolError
from clawd.paths import socket_path
from clawd.strict_json import BadJson, parse_object
from clawd.tools import schema
from clawd.tools.base import AskingTool, ToolSite
from clawd.tools.threads import ThreadedTool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clawd.config.loader import LoadedConfig
    from clawd.config.schema import ToolsConfig
    from clawd.journal.items import Right
    from clawd.response import Effect, JsonObject
    from clawd.tools.base import Consent, Tool, ToolContext, ToolPlugin, ToolSpec

log = logging.getLogger(__name__)

MAX_TEXT: Final = 20_000
"""Characters of a result that the model gets; all of it stays in its context for the rest of the session."""

_MAX_PROBLEMS = 5
_NAME = re.compile(r"[a-z0-9_]{1,64}")

ToolOutcome = Literal["ok", "error", "unknown"]


class Toolbox:
    """Tools by name. Of two with one name the first is kept."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self._tools.setdefault(tool.spec.name, tool)

    @classmethod
    def build(cls, plugins: Mapping[str, ToolPlugin[Any]], config: ToolsConfig, site: ToolSite) -> Toolbox:
        """Return the tools that are installed and not disabled; it may take a moment, call it in a thread.

        One that the configuration does not name runs on its defaults. One that can't be loaded, or needs
        to be configured, is left out with a line in the log: the others go on.
        """
        return cls(
            tool for name in sorted(plugins) if (tool := _create(name, plugins, config, site)) is not None
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tools, in a constant order."""
        return tuple(sorted(self._tools))

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def specs(self, right: Right) -> tuple[ToolSpec, ...]:
        """Return what is offered to the model for a sender with this right, in a constant order.

        `chat` has the tools without effects, `tools` and `owner` have all.
        """
        return tuple(
            tool.spec for _name, tool in sorted(self._tools.items()) if _allowed(tool.spec.effect, right)
        )

    def effect(self, name: str) -> Effect:
        """Return the tool's effect; a tool that does not exist has none, it is `pure`."""
        tool = self._tools.get(name)
        return tool.spec.effect if tool else "pure"

    def consent(self, name: str, arguments: str, right: Right) -> Consent | None:
        """Return what a call needs before it may run; None where nothing does, or the call can't run anyway."""
        tool = self._tools.get(name)
        if not isinstance(tool, AskingTool) or not _allowed(tool.spec.effect, right):
            return None
        try:
            parsed = _parse(arguments)
        except BadJson:
            return None
        if any(schema.problems(parsed, tool.spec.parameters)):
            return None
        return tool.consent(parsed)

    async def call(
        self, name: str, arguments: str, context: ToolContext, right: Right
    ) -> tuple[str, ToolOutcome]:
        """Run one call and return the text for the model, at most `MAX_TEXT` characters, and how it went.

        Args:
            name: As the model wrote it.
            arguments: Raw JSON, as the model wrote it; empty is `{}`.
            context: For whom and as what the call runs.
            right: The sender's; a tool that was not offered does not exist.

        What the model did wrong, a time-out and a tool's own failure come back as an "error" with words
        that it can act on; the time-out of one with an effect that can't be stopped as "unknown". A bug in a tool
        passes through.
        """
        tool = self._tools.get(name)
        if tool is None or not _allowed(tool.spec.effect, right):
            offered = ", ".join(spec.name for spec in self.specs(right)) or "none"
            return _bounded(f"There is no tool {name!r}. The tools are: {offered}."), "error"
        try:
            parsed = _parse(arguments)
        except BadJson as error:
            return _bounded(f"The arguments of {name} can't be read: {error}."), "error"
        wrong = list(schema.problems(parsed, tool.spec.parameters))[:_MAX_PROBLEMS]
        if wrong:
            return _bounded(f"The arguments of {name} do not fit: {'; '.join(wrong)}."), "error"
        return await _run(tool, parsed, context)


def tool_site(loaded: LoadedConfig, state_dir: Path, environ: Mapping[str, str]) -> ToolSite:
    """Return where tools are made: private are state, control socket, configuration and secret files.

    Raises:
        ConfigError: the control socket's path is too long.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    private = (
        state_dir,
        socket_path(loaded.config.state_dir, environ),
        *loaded.files,
        *([Path(credentials)] if credentials else []),
    )
    return ToolSite(state_dir=state_dir, environ=environ, private=private)


def _parse(arguments: str) -> JsonObject:
    """Return a call's arguments as the model wrote them, empty for nothing; raises BadJson."""
    return parse_object(arguments.encode("utf-8", "surrogatepass")) if arguments.strip() else {}


async def _run(tool: Tool, arguments: JsonObject, context: ToolContext) -> tuple[str, ToolOutcome]:
    """Run the call within its time limit."""
    spec = tool.spec
    limit = asyncio.timeout(spec.timeout_s)
    try:
        async with limit:
            result = await tool.call(arguments, context)
    except TimeoutError:
        if not limit.expired():
            raise  # the tool's own bug, not our limit
        log.warning("tool_timed_out", extra={"tool": spec.name, "turn": context.turn})
        late = f"{spec.name} took longer than {spec.timeout_s:g} s and"
        if not isinstance(tool, ThreadedTool):
            return f"{late} was stopped.", "error"
        if spec.effect == "pure":
            return f"{late} nobody waits for it any more.", "error"
        return f"{late} goes on: whether it does what it was asked to is unknown.", "unknown"
    except ToolError as error:
        why = f": {error.why}" if error.why else ""
        return _bounded(f"{error.what}{why}"), "error"
    return _bounded(result.text), "ok"


def _create(
    name: str, plugins: Mapping[str, ToolPlugin[Any]], config: ToolsConfig, site: ToolSite
) -> Tool | None:
    """Return one tool, None when it is disabled or can't be had."""
    settings = config.settings.get(name)
    if settings is not None and not settings.enabled:
        return None
    try:
        plugin = plugins[name]
        settings = settings if settings is not None else plugin.config()
        # Again, as a tool may be off unless it is asked for.
        tool = plugin.create(site, settings) if settings.enabled else None
    except ClawdError as error:
        log.warning("tool_left_out", extra={"tool": name, "why": str(error)})
    except (TypeError, AttributeError) as error:
        # A stranger's package that was made for another version of the contract costs itself alone.
        log.warning("tool_left_out", extra={"tool": name, "why": f"it does not fit this clawd: {error}"})
    except ValidationError:
        log.info("tool_left_out", extra={"tool": name, "why": f"it needs settings: tools.{name}"})
    else:
        if tool is None:
            return None
        if not inspect.iscoroutinefunction(tool.call):
            why = "its call is no coroutine and would hold up everybody; derive it from ThreadedTool"
        elif not _NAME.fullmatch(tool.spec.name):
            why = f"no model takes the name {tool.spec.name!r}"
        else:
            return tool
        log.warning("tool_left_out", extra={"tool": name, "why": why})
    return None


def _allowed(effect: Effect, right: Right) -> bool:
    return effect == "pure" or right != "chat"


def _bounded(text: str) -> str:
    """Cut the text, and replace halves of surrogate pairs, which no database and no wire takes."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= MAX_TEXT:
        return text
    note = f"\n[cut: {len(text)} characters in all]"
    return text[: MAX_TEXT - len(note)] + note
