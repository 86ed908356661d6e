"""What a model is told of calls that its turn had no room for."""

from __future__ import annotations

from clawd.agent.skipping import skipped
from clawd.agent.turn import SkipCalls
from clawd.response import ToolCall
from clawd.texts import say

CALLS = tuple((step, ToolCall(id=f"c{step}", name="act", arguments="{}")) for step in (2, 3))


def test_a_call_that_a_crash_cut_off_is_unknown_and_the_others_did_not_run() -> None:
    first, second = skipped(SkipCalls(calls=CALLS, why="steps"), {2})
    assert (first.step, first.outcome, first.text) == (2, "unknown", say("tool_unknown"))
    assert (second.call_id, second.outcome, second.text) == ("c3", "skipped", say("tool_skipped"))


def test_a_repeated_call_is_told_as_such() -> None:
    (only,) = skipped(SkipCalls(calls=CALLS[:1], why="repeats", again=True), ())
    assert (only.outcome, only.text) == ("skipped", say("tool_repeated", times=3))
