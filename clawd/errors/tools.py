"""Errors of tools."""

from __future__ import annotations

from clawd.errors.base import ClawdError


class ToolError(ClawdError):
    """A tool failed; `tool` is its name."""

    code = "E-TOOL"

    def __init__(self, tool: str, what: str, *, why: str = "") -> None:
        super().__init__(what, where=f"tool {tool}", why=why)
        self.tool = tool


class ToolRetry(ToolError):
    """The model may correct its arguments and call again; `what` is told to it."""


class ToolFailed(ToolError):
    """Final: the model is told `what` and may adapt."""
