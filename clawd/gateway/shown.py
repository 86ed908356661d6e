"""What happens in a conversation, as the frames that a gateway's clients read. docs/websocket.md has the table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, assert_never

from clawd.fanout import Arrived, Asked, Delta, Ended, HandedBack, Held, LiveTurn, Reset, Started, ToolNote
from clawd.journal.base import OpenQuestion
from clawd.journal.reading import EntryView, TurnView
from clawd.jsonable import moment

if TYPE_CHECKING:
    from clawd.gateway.problems import RequestRefused
    from clawd.ids import QuestionId
    from clawd.response import JsonObject
    from clawd.watching import Shown

_MAX_ASKED: Final = 1000  # questions of one subscription that are known to be told
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` would make one for each frame


class Telling:
    """Makes the frames of one subscription.

    Args:
        conversation: Its name.
        cursor: Where the subscription begins.
    """

    __slots__ = ("_asked", "_conversation", "cursor")

    def __init__(self, conversation: str, cursor: str) -> None:
        self._conversation = conversation
        self.cursor = cursor
        self._asked: set[QuestionId] = set()

    def frame_of(self, shown: Shown) -> JsonObject | None:
        """Return the frame; None for what the other frames tell already."""
        match shown:
            case EntryView():
                self.cursor = shown.cursor
                return self._entry(shown)
            case OpenQuestion():
                return self._approval(shown)
            case Asked(question=question):
                return self._approval(question)
            case LiveTurn():
                return self._snapshot(shown.turn, shown.attempt, shown.text)
            case Started(lease=lease):
                return self._snapshot(lease.turn, lease.attempts, "")
            case Delta():
                return {
                    **self._head("delta"),
                    "turn": shown.turn,
                    "attempt": shown.attempt,
                    "offset": shown.offset,
                    "text": shown.text,
                }
            case Reset():
                return {
                    **self._head("reset"),
                    "turn": shown.turn,
                    "attempt": shown.attempt,
                    "reason": shown.reason,
                }
            case ToolNote():
                return {
                    **self._head("tool"),
                    "turn": shown.turn,
                    "name": shown.name,
                    "phase": shown.phase,
                    "summary": shown.summary,
                    "duration_s": shown.duration_s,
                }
            case Ended() | TurnView() | HandedBack() | Held() | Arrived():
                return None  # the entry said it, or the turn's next snapshot will
        assert_never(shown)

    def _head(self, kind: str) -> JsonObject:
        return {"type": kind, "conversation": self._conversation}

    def _snapshot(self, turn: str, attempt: int, text: str) -> JsonObject:
        return {**self._head("snapshot"), "turn": turn, "attempt": attempt, "offset": 0, "text": text}

    def _entry(self, entry: EntryView) -> JsonObject:
        if entry.role == "assistant" and entry.turn is not None:
            return {
                **self._head("done"),
                "cursor": entry.cursor,
                "turn": entry.turn,
                "status": entry.state,
                "text": entry.text,
                "answers": list(entry.answers),
                "at": moment(entry.at),
            }
        return {
            **self._head("message"),
            "cursor": entry.cursor,
            "turn": entry.turn,
            "role": entry.role,
            "text": entry.text,
            "at": moment(entry.at),
        }

    def _approval(self, question: OpenQuestion) -> JsonObject | None:
        if question.id in self._asked:
            return None  # it was read, and then announced
        if len(self._asked) >= _MAX_ASKED:
            self._asked.clear()  # nearly all of them are long answered
        self._asked.add(question.id)
        return {
            **self._head("approval"),
            "cursor": self.cursor,
            "turn": question.turn,
            "approval": question.id,
            "about": question.about,
            "tool": question.tool,
            "subject": question.subject,
            "deadline": moment(question.deadline),
        }


def encoded(frame: JsonObject) -> bytes:
    """Return a frame as JSON in UTF-8, on one line; half of a surrogate pair becomes a question mark."""
    return _ENCODE(frame).encode(errors="replace")


def error_frame(
    refusal: RequestRefused, *, ref: str | None = None, conversation: str | None = None
) -> JsonObject:
    """Return the frame that says no; `ref` is the id of the frame that it answers."""
    frame: JsonObject = {"type": "error", "code": refusal.reason_code, "message": refusal.what, "ref": ref}
    if refusal.remedy:
        frame["try"] = refusal.remedy
    if conversation is not None:
        frame["conversation"] = conversation
    return frame
