"""Frames of a stream: pure conversions from events and rows. The list stands in `protocol.py`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, assert_never

from clawd.fanout import Arrived, Asked, Delta, Ended, HandedBack, Held, LiveTurn, Reset, Started, ToolNote
from clawd.journal.base import OpenQuestion
from clawd.journal.reading import EntryView, TurnView
from clawd.jsonable import json_object

if TYPE_CHECKING:
    from clawd.response import JsonObject
    from clawd.watching import Shown

PING: JsonObject = {"type": "ping"}


def frame_of(shown: Shown) -> JsonObject | None:
    """Return the frame that shows something, None for an event that only says "read the journal"."""
    match shown:
        case LiveTurn():
            return {"type": "snapshot", "turn": shown.turn, "attempt": shown.attempt, "text": shown.text}
        case EntryView():
            return {"type": "entry", **json_object(shown)}
        case TurnView():
            return _ended_frame(shown)
        case OpenQuestion():
            return _question_frame(shown)
        case Started(lease=lease):
            return {"type": "started", "turn": lease.turn, "attempt": lease.attempts}
        case Delta():
            return {"type": "delta", **json_object(shown)}
        case Reset():
            return {"type": "reset", **json_object(shown)}
        case ToolNote():
            return {"type": "tool", **json_object(shown)}
        case Ended():
            return {"type": "ended", **json_object(shown)}
        case HandedBack():
            return {"type": "handed_back", **json_object(shown)}
        case Held():
            return {"type": "held", **json_object(shown)}
        case Asked(question=question):
            return _question_frame(question)
        case Arrived():
            return None
    assert_never(shown)


def _question_frame(question: OpenQuestion) -> JsonObject:
    return {"type": "question", **json_object(question)}


def _ended_frame(view: TurnView) -> JsonObject:
    """Return the `ended` frame of a turn whose live one was lost."""
    return {
        "type": "ended",
        "turn": view.id,
        "outcome": view.state,
        "text": view.answer,
        "model": view.model,
        "exit_code": view.exit_code,
        "notice": view.notice,
    }


def line(frame: JsonObject) -> bytes:
    """Return a frame as one line."""
    return json.dumps(frame, ensure_ascii=False).encode(errors="replace") + b"\n"
