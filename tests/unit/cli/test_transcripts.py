"""An export in its three forms."""

from __future__ import annotations

import json
from typing import Any

from clawd.cli.transcripts import jsonl, markdown, one_object

HEAD = {"type": "conversation", "address": "tg:bot:1", "turns": 2, "exported_at": "2026-01-01T00:00:00Z"}


def record(kind_: str, step: int = 0, **body: Any) -> dict[str, Any]:
    return {"kind": kind_, "at": "T", "step": step, "claim": 1, "record": body}


RESPONSE = {
    "model": "main",
    "text": "let me see",
    "tool_calls": [{"id": "a", "name": "look", "arguments": '{"at": "```"}'}],
    "usage": {"input_tokens": 12, "output_tokens": 3},
}
DELIVERY = {
    "id": "delivery:i-1",
    "part": 0,
    "state": "sent",
    "attempts": 2,
    "text": "答案",
    "remote_id": "9",
    "why": "429",
    "at": "A",
    "taken_at": "B",
    "ended_at": "C",
}
TURN = {
    "type": "turn",
    "id": "turn:i-1-1",
    "seq": 1,
    "state": "answered",
    "right": "chat",
    "accepted_at": "T0",
    "ended_at": "T9",
    "merged_into": None,
    "message": {
        "sender": {"id": "42", "name": "Ann"},
        "parts": [{"text": "问题"}, {"ref": "file-1", "name": None, "size": 7}],
    },
    "records": [
        record("turn.started", owner="x", attempt=1),
        record("llm.result", 1, response=RESPONSE),
        record("tool.result", 2, name="look", outcome="ok", duration_s=0.25, text="seen"),
        record("turn.finished", text="答案", error=None),
        record("turn.dreamt", kind="turn.dreamt", why="unknown", raw="{}"),
    ],
    "deliveries": [DELIVERY],
}
MERGED = {**TURN, "seq": 2, "merged_into": 1, "records": [], "deliveries": []}
PUSH = {"type": "push", **DELIVERY}
FRAMES = [HEAD, TURN, MERGED, PUSH]


def test_markdown_tells_all_that_people_want_to_know() -> None:
    text = "".join(markdown(FRAMES))
    for part in (
        "# tg:bot:1",
        "## Ann, T0",
        "问题",
        "*attachment: ref: file-1, size: 7*",
        "main, step 1, T (12 in, 3 out tokens)",
        "Calls `look`",
        "look: ok after 0.250 s",
        "seen",
        "### Answer, T\n\n答案",
        "can't be read: unknown",
        "turn:i-1-1: answered, ended T9",
        "delivery:i-1: sent after 2 attempts, C (429)",
        "answered together with message 1",
        "## Sent by clawd",
    ):
        assert part in text, part
    assert '````\n{"at": "```"}\n````' in text, "a fence that its content does not end"


def test_lines_and_one_object_hold_everything() -> None:
    assert [json.loads(line) for line in jsonl(FRAMES)] == FRAMES
    value = json.loads("".join(one_object(FRAMES, 1)))
    assert value == {"schema_version": 1, "conversation": HEAD, "entries": FRAMES[1:]}
    assert json.loads("".join(one_object([HEAD], 1)))["entries"] == []
