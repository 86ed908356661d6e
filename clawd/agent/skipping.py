"""Calls that a turn's limits leave no room for, as their model is told of them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.agent.repeats import SAME_RESULTS
from clawd.journal.records import ToolDone
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Collection

    from clawd.agent.turn import SkipCalls


def skipped(action: SkipCalls, begun: Collection[int]) -> list[ToolDone]:
    """Return the ends of calls that are not run.

    Args:
        action: The calls.
        begun: Steps whose calls a crash cut off: what became of those is not known.
    """
    told = say("tool_repeated", "en", times=SAME_RESULTS) if action.again else say("tool_skipped", "en")
    return [
        ToolDone(
            step=step,
            call_id=call.id,
            name=call.name,
            text=say("tool_unknown", "en") if step in begun else told,
            outcome="unknown" if step in begun else "skipped",
        )
        for step, call in action.calls
    ]
