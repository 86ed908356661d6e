"""A context to call tools with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from clawd.ids import TurnId
from clawd.messages import Address, Sender
from clawd.testing import ManualClock
from clawd.tools.base import ToolContext, ToolSite

SITE = ToolSite(state_dir=Path("/nonexistent"), environ={})
"""For tools that need nothing of the place where they are made."""


def context(now: datetime = datetime(2026, 11, 22, 13, 3, 5, tzinfo=UTC)) -> ToolContext:
    """Return the context of some turn's first step, at a fixed time."""
    return ToolContext(
        turn=TurnId("turn:test-1-1"),
        step=1,
        address=Address(bridge="terminal", account="0", chat="default"),
        sender=Sender(id="0", name="tester"),
        clock=ManualClock(now),
    )
