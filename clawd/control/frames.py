"""Frames of a stream: pure conversions from events and rows. The list stands in `protocol.py`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, assert_never

from clawd.fanout import Arrived, Asked, Delta, Ended, HandedBack, Reset, Started, ToolNote
from clawd.jsonable import json_object

if TYPE_CHECKING:
    from clawd.fanout import Event, LiveTurn
    from clawd.ids import TurnId
    from clawd.journal.base import OpenQuestion
    from clawd.journal.reading import EntryView, TurnView
    from clawd.response import JsonObject

PING: JsonObject = {"type": "ping"}


def frame_of(event: Event) -> JsonObject | None:
    """Return the frame that shows an event, None for one that only says "read the journal"."""
    match event:
        case Started(lease=lease):
            return {"type": "started", "turn": lease.turn, "attempt": lease.attempts}
        case Delta():
            return {"type": "delta", **json_object(event)}
        case Reset():
            return {"type": "reset", **json_object(event)}
        case ToolNote():
            return {"type": "tool", **json_object(event)}
        case Ended():
            return {"type": "ended", **json_object(event)}
        case HandedBack():
            return {"type": "handed_back", **json_object(event)}
        case Asked(question=question):
            return question_frame(question)
        case Arrived():
            return None
    assert_never(event)


def turn_of(event: Event) -> TurnId | None:
    """Return the turn an event belongs to, if it belongs to one."""
    match event:
        case Started(lease=lease):
            return lease.turn
        case Arrived():
            return None
        case _:
            return event.turn


def snapshot_frame(live: LiveTurn) -> JsonObject:
    """Return the frame that begins a stream in the middle of a turn."""
    return {"type": "snapshot", "turn": live.turn, "attempt": live.attempt, "text": live.text}


def question_frame(question: OpenQuestion) -> JsonObject:
    """Return the frame of a question that a turn waits with."""
    return {"type": "question", **json_object(question)}


def entry_frame(entry: EntryView) -> JsonObject:
    """Return the frame of a durable entry."""
    return {"type": "entry", **json_object(entry)}


def ended_frame(view: TurnView) -> JsonObject:
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
