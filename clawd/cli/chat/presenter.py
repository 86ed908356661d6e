"""Events of a conversation, told to an output: the wording and the order are the same everywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, assert_never

from clawd.cli.chat.answering import how_here
from clawd.cli.chat.events import (
    Asked,
    Began,
    Ended,
    Event,
    Grew,
    HandedBack,
    Held,
    Merged,
    Over,
    Resumed,
    Rewrote,
    Said,
    Switched,
    ToolRan,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.cli.chat.output import Output
    from clawd.cli.questions import Question

_SUMMARY_CHARS = 60
_SWITCHED: Final = {
    "E-MODEL-DOWN": "the one before failed",
    "E-MODEL-BUSY": "the provider of the one before limits our requests",
    "E-MODEL-AUTH": "the key of the one before is refused",
    "E-CONTEXT": "the conversation is longer than the model can read",
    "hedge": "the one before was late",
}
_CODE = re.compile(r"(E-[A-Z0-9-]+)(?:: |$)(.*)", re.DOTALL)


class Presenter:
    """Shows events on an output.

    Args:
        output: Where they are shown.
        how: Tells how to answer a question here.
    """

    def __init__(self, output: Output, how: Callable[[Question], str] = how_here) -> None:
        self._output = output
        self._how = how
        self._turn = ""
        self._text = ""
        self._held: dict[str, str] = {}

    @property
    def idle(self) -> bool:
        """Whether no answer is growing."""
        return not self._turn

    @property
    def held(self) -> list[str]:
        """Questions whose turns have not begun, oldest first."""
        return list(self._held.values())

    @property
    def held_turns(self) -> list[str]:
        """The turns of `held`, in the same order."""
        return list(self._held)

    def asked(self, turn: str, text: str) -> None:
        """Show a question when its turn begins: now, unless another answer is growing."""
        if self._turn in ("", turn):
            self._output.question(text)
        else:
            self._held[turn] = text

    def handle(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Began(turn, attempt):
                self._at(turn)
                if attempt > 1:
                    self._output.note(f"goes on after an interruption (attempt {attempt})")
            case Grew(turn, text):
                self._at(turn)
                self._text += text
                self._output.show(self._text)
            case Rewrote(turn, text):
                self._at(turn)
                self._text = text
                self._output.show(text)
            case Switched(_, reason):
                self._output.note(switch_line(reason))
            case ToolRan():
                self._at(event.turn)
                self._output.settle()
                self._output.note(tool_line(event))
            case Held(_, why):
                self._output.note(
                    f"the journal can't be written ({one_line(why, 120)}); this goes on when it can"
                )
            case HandedBack(offline=True):
                self._output.note(
                    "no model can be reached; this waits for the network (/model NAME asks another one, /stop ends it)"
                )
            case HandedBack():
                self._output.note("the daemon is stopping; this goes on when it is back")
            case Said(role="user"):
                self.asked(event.turn, event.text)
            case Said():
                self._output.aside(event.text)
            case Ended():
                self._end(event)
            case Asked(turn, question):
                self._at(turn)
                self._output.settle()
                self._output.asks(question.asks, question.call, self._how(question))
            case Merged(turn, into):
                self._merge(turn, into)
            case Over() | Resumed():
                pass  # its end follows; who answered is known to whoever reads the keyboard
            case _:
                assert_never(event)

    def _at(self, turn: str) -> None:
        """Make this turn the one that is shown; only one runs at a time in a conversation."""
        if turn != self._turn:
            self._leave()
            self._turn = turn
            if question := self._held.pop(turn, ""):
                self._output.question(question)

    def _merge(self, turn: str, into: str) -> None:
        """Show a message that waited in vain for a turn of its own."""
        if question := self._held.pop(turn, ""):
            self._output.settle()
            self._output.question(question)
            growing = into == self._turn
            self._output.note(
                "goes into the answer above" if growing else "answered above, with the one before"
            )

    def _leave(self) -> None:
        if self._text:
            self._output.abandon()
        self._turn, self._text = "", ""

    def _end(self, event: Ended) -> None:
        self._at(event.turn)
        match event.outcome:
            case "answered":
                self._output.end(self._text + event.rest)
            case "cancelled":
                marked = event.rest.strip()
                self._output.end(self._text + event.rest)
                if not marked:
                    self._output.note("(stopped)")
            case "failed" | "dead":
                self._output.abandon()
                self._output.error(failure(event))
            case _:
                assert_never(event.outcome)
        if event.notice:
            self._output.notice(event.notice)
        self._turn, self._text = "", ""


def failure(event: Ended) -> str:
    """Return a failed turn in the four lines: the sentence for people first, then the operator's."""
    match = _CODE.fullmatch(event.why)
    code, detail = (match[1], match[2]) if match else ("E-TURN", event.why)
    lines = [f"error[{code}]: {event.text.strip() or 'the turn ended without an answer'}"]
    lines.append(f"where: {event.turn}")
    if detail:
        lines.append(f"why: {one_line(detail, 400)}")
    lines.append(f"try: clawd trace {event.turn}")
    return "\n".join(lines)


def switch_line(reason: str) -> str:
    """Return the line about an answer that begins again; the daemon writes `MODEL: REASON`, or a reason alone."""
    model, _, code = reason.rpartition(": ")
    words = _SWITCHED.get(code, one_line(code, 200))
    if model:
        return f"switched to {one_line(model, 80)}: {words}"
    return "begins again" if code in ("", "committed") else f"begins again: {words}"


def tool_line(event: ToolRan) -> str:
    """Return the line of a call that begins, or of its end."""
    summary = one_line(event.summary, _SUMMARY_CHARS)
    if event.phase == "started":
        return f"> {event.name}({summary})"
    word = "failed: " if event.phase == "error" else ""
    return f"  {word}{summary or 'done'} · {size(event.summary)}, {event.duration_s:.1f} s"


def size(text: str) -> str:
    """Return how long a result is; the daemon shortens one over 200 characters and ends it in an ellipsis."""
    if text.endswith("…"):
        return f"over {len(text) - 1} characters"
    return "1 character" if len(text) == 1 else f"{len(text)} characters"


def one_line(text: str, limit: int) -> str:
    """Return text on one line of at most `limit` characters, an ellipsis where it was cut."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"
