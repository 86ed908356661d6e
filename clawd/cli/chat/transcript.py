"""Frames in, events out: what of a conversation is new to the person who watches it. Pure.

The stream may repeat itself (a snapshot after a reconnection, an answer both as the end of its turn and
as an entry) and may have gaps. Each text comes out once, and the committed end of a turn has the last word.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from clawd.cli.chat.events import (
    OUTCOMES,
    Asked,
    Began,
    Ended,
    Event,
    Frame,
    Grew,
    HandedBack,
    Held,
    Merged,
    Outcome,
    Over,
    Resumed,
    Rewrote,
    Said,
    Switched,
    ToolRan,
)
from clawd.cli.questions import Question

_AT_WORK: Final = frozenset({"started", "snapshot", "delta", "reset", "tool", "ended"})

_REMEMBERED: Final = 200
"""How many ended turns are known by id, so that their entries are not shown again."""


@dataclass(slots=True)
class _Shown:
    """The visible text of one open turn."""

    text: str = ""
    missing: int = 0  # characters that never arrived
    since_tool: int = 0  # where the text after the last tool call begins


class Transcript:
    """Follows one conversation."""

    def __init__(self, cursor: str = "") -> None:
        self.cursor = cursor
        """Up to where the conversation was seen; opaque, empty for nowhere yet."""
        self._open: dict[str, _Shown] = {}
        self._mine: set[str] = set()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._questions: dict[str, Question] = {}

    @property
    def open_turns(self) -> list[str]:
        """Turns that were sent from here or seen at work, and have not ended."""
        return list(self._open)

    def is_mine(self, turn: str) -> bool:
        """Whether the turn was sent from here."""
        return turn in self._mine

    def sent(self, turn: str) -> None:
        """Note a turn sent from here: its question needs no showing."""
        self._mine.add(turn)
        if turn not in self._ended:
            self._open.setdefault(turn, _Shown())

    def apply(self, frame: Frame) -> list[Event]:
        """Return what a frame changes for the person who watches; unknown frames change nothing."""
        turn = str(frame.get("turn") or "")
        kind = frame.get("type")
        if kind == "entry":
            return self._entry(frame, turn)
        if not turn or turn in self._ended:
            return []
        if kind == "question":
            return self._asked(turn, frame)
        if kind == "merged":
            return self._merged(turn, _text(frame, "into"))
        return [*self._resumed(turn, kind), *self._goes_on(turn, kind, frame)]

    def _goes_on(self, turn: str, kind: object, frame: Frame) -> list[Event]:
        match kind:
            case "started":
                return self._started(turn, _int(frame, "attempt", 1))
            case "snapshot":
                return self._snapshot(turn, _int(frame, "attempt", 1), _text(frame, "text"))
            case "delta":
                return self._delta(turn, _int(frame, "offset", 0), _text(frame, "text"))
            case "reset":
                self._open[turn] = _Shown()
                return [Rewrote(turn, ""), Switched(turn, _text(frame, "reason"))]
            case "tool":
                return [self._tool(turn, frame)]
            case "ended":
                return self._ends(
                    turn,
                    OUTCOMES.get(_text(frame, "outcome"), "failed"),
                    _text(frame, "text"),
                    model=_text(frame, "model") or None,
                    exit_code=_int(frame, "exit_code", 1),
                    notice=_text(frame, "notice"),
                )
            case "held":
                return [Held(turn, _text(frame, "why"))]
            case "handed_back" if _text(frame, "why") == "held":
                return []  # told by the frame before
            case "handed_back":
                return [HandedBack(turn, offline=_text(frame, "why") == "offline")]
            case _:
                return []

    def _started(self, turn: str, attempt: int) -> list[Event]:
        self._open.setdefault(turn, _Shown())
        return [Began(turn, attempt)]

    def _asked(self, turn: str, frame: Frame) -> list[Event]:
        try:
            question = Question.parse(frame)
        except (KeyError, ValueError):
            return []  # a newer daemon's; `clawd approvals` of its version answers it
        known = self._questions.get(turn)
        if known is not None and known.id == question.id:
            return []
        shown = self._open.setdefault(turn, _Shown())
        shown.since_tool = len(shown.text)
        self._questions[turn] = question
        before: list[Event] = [] if known is None else [Resumed(turn, known)]
        return [*before, Asked(turn, question)]

    def _resumed(self, turn: str, kind: object) -> list[Event]:
        """Return that a question is settled, if it is: whatever happens in its turn says so."""
        if kind not in _AT_WORK or turn not in self._questions:
            return []
        return [Resumed(turn, self._questions.pop(turn))]

    def _merged(self, turn: str, into: str) -> list[Event]:
        self._open.pop(turn, None)
        self._remember(turn)
        return [Merged(turn, into)]

    def _snapshot(self, turn: str, attempt: int, text: str) -> list[Event]:
        known = turn in self._open
        shown = self._open.setdefault(turn, _Shown())
        events: list[Event] = [] if known and shown.text else [Began(turn, attempt)]
        if shown.missing or not text.startswith(shown.text):
            self._open[turn] = _Shown(text)
            events.append(Rewrote(turn, text))
        elif new := text[len(shown.text) :]:
            shown.text = text
            events.append(Grew(turn, new))
        return events

    def _delta(self, turn: str, offset: int, text: str) -> list[Event]:
        events: list[Event] = [] if turn in self._open else [Began(turn)]
        shown = self._open.setdefault(turn, _Shown())
        here = len(shown.text) + shown.missing
        if offset >= here:
            shown.missing += offset - here
            new = text
        elif shown.missing or shown.text.startswith(text[: here - offset], offset):
            new = text[here - offset :]  # a repeat, at most its end is new
        else:
            whole = shown.text[:offset] + text
            self._open[turn] = _Shown(whole)
            return [*events, Rewrote(turn, whole)]
        if new:
            shown.text += new
            events.append(Grew(turn, new))
        return events

    def _tool(self, turn: str, frame: Frame) -> ToolRan:
        shown = self._open.setdefault(turn, _Shown())
        shown.since_tool = len(shown.text)
        duration = frame.get("duration_s")
        return ToolRan(
            turn=turn,
            name=_text(frame, "name"),
            phase=_text(frame, "phase"),
            summary=_text(frame, "summary"),
            duration_s=float(duration) if isinstance(duration, int | float) else 0.0,
        )

    def _entry(self, frame: Frame, turn: str) -> list[Event]:
        self.cursor = _text(frame, "cursor") or self.cursor
        role, text, state = frame.get("role"), _text(frame, "text"), _text(frame, "state")
        if role == "user":
            if turn in self._mine:
                return []
            return [Said(turn=turn, role="user", text=text)]
        if turn and turn in self._ended:
            return []
        if turn in self._open:
            return [Over(turn)] if state in OUTCOMES else []
        return [Said(turn=turn, role="assistant", text=text)]

    def _ends(
        self, turn: str, outcome: Outcome, text: str, *, model: str | None, exit_code: int, notice: str
    ) -> list[Event]:
        shown = self._open.pop(turn, None) or _Shown()
        self._remember(turn)
        rest = unshown(shown.text, shown.since_tool, text) if not shown.missing else None
        events: list[Event] = []
        if rest is None and outcome == "answered":
            events.append(Rewrote(turn, text))
            rest = ""
        if rest is None:  # cut short: what was seen stays, and the sentence about the end follows it
            rest = text
        events.append(
            Ended(
                turn=turn,
                outcome=outcome,
                text=text,
                rest=rest,
                model=model,
                exit_code=exit_code,
                notice=notice,
            )
        )
        return events

    def _remember(self, turn: str) -> None:
        """Know that a turn is over, for as long as something late may come about it."""
        self._ended[turn] = None
        while len(self._ended) > _REMEMBERED:
            forgotten, _ = self._ended.popitem(last=False)
            self._mine.discard(forgotten)


def unshown(shown: str, since_tool: int, final: str) -> str | None:
    """Return the end of `final` that follows what was shown, None when the two do not fit.

    Args:
        shown: All text that was visible.
        since_tool: Where in it the text after the last tool call begins. A final text may hold only that.
        final: The committed text.
    """
    for seen in (shown, shown[since_tool:]):
        if not seen.strip():
            continue
        if final.startswith(seen):
            return final[len(seen) :]
        head, whole = seen.strip(), final.strip()  # space around it is nothing to show again
        if whole.startswith(head):
            return whole[len(head) :]
    if not shown[since_tool:].strip():
        return final
    return None


def _text(frame: Frame, key: str) -> str:
    value = frame.get(key)
    return value if isinstance(value, str) else ""


def _int(frame: Frame, key: str, default: int) -> int:
    value = frame.get(key)
    return value if isinstance(value, int) else default
