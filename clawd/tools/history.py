"""The tool `search_history`: what was said earlier in this conversation, in any of its sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clawd.config.schema import ToolConfig
from clawd.errors import JournalUnavailable, ToolFailed, ToolRetry
from clawd.journal.search import TOOL_NAME, Wanted, excerpt
from clawd.tools.base import ToolPlugin, ToolResult, ToolSpec

if TYPE_CHECKING:
    from clawd.journal.search import Found
    from clawd.response import JsonObject, JsonValue
    from clawd.tools.base import ToolContext, ToolSite

NAME: Final = TOOL_NAME

DEFAULT_LIMIT: Final = 5
MAX_LIMIT: Final = 20
EXCERPT: Final = 240  # characters


class HistoryConfig(ToolConfig):
    """The section `tools.search_history`."""


class HistoryTool:
    """Searches the conversation that it is called in."""

    spec = ToolSpec(
        name=NAME,
        description="Find what was said earlier in this conversation, also before what you can see.",
        parameters={
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "maxLength": 300,
                    "description": "words, or any part of a sentence",
                },
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
                "after": {"type": "string", "maxLength": 40, "description": "ISO date, such as 2026-01-31"},
                "before": {"type": "string", "maxLength": 40, "description": "ISO date"},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        effect="pure",
    )

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        if context.history is None:
            raise ToolFailed(NAME, "there is no history to search here")
        text = str(arguments["query"])
        limit = arguments.get("limit")
        before = _date("before", arguments.get("before"))
        wanted = Wanted(
            turn=context.turn,
            text=text,
            limit=limit if isinstance(limit, int) else DEFAULT_LIMIT,
            after=_date("after", arguments.get("after")),
            before=before,
        )
        try:
            findings = await context.history.search(wanted)
        except JournalUnavailable as error:
            raise ToolFailed(NAME, "the history can't be searched now", why=error.why) from error
        lines = [_line(found, text) for found in findings.found]
        if findings.behind:
            lines.append("(The newest messages are not indexed yet.)")
        return ToolResult("\n".join(lines) or "Nothing was found.")


def _line(found: Found, looked_for: str) -> str:
    who = f" {found.who}" if found.who else ""
    when = found.at.strftime("%Y-%m-%d %H:%M")
    return f"{when} {found.role}{who}: {excerpt(found.text, looked_for, EXCERPT)}"


def _date(name: str, value: JsonValue) -> datetime | None:
    """Return the moment that an ISO date means, in UTC; `before` a day without a time includes that day."""
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise ToolRetry(NAME, f"{name} is no ISO date: {value!r}", why="such as 2026-01-31") from error
    if name == "before" and len(value.strip()) == len("2026-01-31"):
        moment += timedelta(days=1)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def create(_site: ToolSite, _config: HistoryConfig) -> HistoryTool:
    """Return the tool."""
    return HistoryTool()


PLUGIN = ToolPlugin(name=NAME, config=HistoryConfig, create=create)
