"""One message, one answer: what `clawd chat MESSAGE` and pipes do."""

from __future__ import annotations

import json
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TextIO

from clawd.cli.chat.answering import Answering, done, how_elsewhere, how_here
from clawd.cli.chat.batch import coalesced
from clawd.cli.chat.events import (
    Asked,
    Connected,
    Ended,
    GaveUp,
    Interrupted,
    Lost,
    Over,
    Received,
    Resumed,
    Said,
    Signal,
    Typed,
)
from clawd.cli.chat.keyboard import Keyboard
from clawd.cli.chat.presenter import Presenter
from clawd.cli.chat.transcript import Transcript
from clawd.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, ClawdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.chat.conversation import Conversation, Receipt
    from clawd.cli.chat.events import Event, Frame
    from clawd.cli.chat.output import Output
    from clawd.cli.questions import Question

SCHEMA_VERSION = 1
_FRAME_S = 0.04
"""Time between two drawings of what grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a message led to: the last line of `--json`."""

    id: str | None
    conversation: str
    state: str  # answered, failed, cancelled, dead; replied when no turn was needed
    text: str
    model: str | None
    exit_code: int
    error: str | None = None
    merged_into: str | None = None  # the turn that answered this message together with its own
    notice: str = ""  # told beside the answer

    def as_json(self) -> dict[str, Any]:
        """Return the object that is printed."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {"type": "result", "schema_version": SCHEMA_VERSION, **fields}


class OneShot:
    """Sends messages and waits for their ends, one at a time.

    Args:
        conversation: Where they go.
        output: Where the answer is shown, None when only frames are wanted.
        frames: Takes the frames of our turn as JSON lines, None when they are not wanted.
        keyboard: The terminal at which somebody can answer a question, None when there is nobody.
        program: How this program is called, for a command that answers a question.
    """

    def __init__(
        self,
        conversation: Conversation,
        output: Output,
        frames: TextIO | None = None,
        *,
        keyboard: int | None = None,
        program: str = "clawd",
    ) -> None:
        self._conversation = conversation
        self._output = output
        self._program = program
        self._keyboard: Keyboard | None = None
        if keyboard is not None:
            self._keyboard = Keyboard(keyboard, lambda line: self._signals.put(Typed(line)))
        self._presenter = Presenter(output, self._how)
        self._frames = frames
        self._signals: SimpleQueue[Signal] = SimpleQueue()
        self._transcript = Transcript()
        self._answering = Answering()
        self._merged_into: str | None = None
        self._asked_to_stop = False
        self._away = False
        self._drawn_at = 0.0
        self.began_at = ""
        """How far the conversation was written when the message was sent."""
        self.others = False
        """Whether something was said meanwhile that this is not the answer to."""

    @property
    def read_to(self) -> str:
        """How far the conversation was read."""
        return self._transcript.cursor

    def run(self, text: str) -> Result:
        """Return the committed end of the turn that answers `text`.

        Raises:
            ClawdError: not sent, or the daemon stayed away while the turn was open.
            KeyboardInterrupt: Ctrl-C for the second time, or before the message was sent.
        """
        with self._following():
            receipt = self._conversation.send(text)
            if receipt.turn is None:
                return self._replied(receipt)
            return self._wait(receipt.turn, receipt.position)

    def join(self, turn: str) -> Result:
        """Return the committed end of a turn that is open already; raises as `run`."""
        with self._following():
            ended = self._look(turn)  # it may be over since it was seen
            return self._wait(turn) if ended is None else self._result(ended)

    @contextmanager
    def _following(self) -> Iterator[None]:
        """Follow the conversation from here on, with Ctrl-C as a signal."""
        self._signals, self._asked_to_stop, self._away = SimpleQueue(), False, False
        self._answering, self._merged_into = Answering(), None
        self.began_at = self._conversation.backlog("").cursor
        self._transcript = Transcript(self.began_at)
        follower = self._conversation.follow(lambda: self._transcript.cursor, self._signals.put)
        try:
            first = self._signals.get()
            if isinstance(first, GaveUp):
                raise first.error
            with self._stopping():
                yield
        finally:
            follower.close()
            self._stop_reading()

    def _replied(self, receipt: Receipt) -> Result:
        self._output.end(receipt.text)
        return Result(
            id=None,
            conversation=self._conversation.name,
            state="replied",
            text=receipt.text,
            model=None,
            exit_code=EXIT_OK,
        )

    def _wait(self, turn: str, position: int = 0) -> Result:
        self._transcript.sent(turn)
        if position:
            self._output.note(queue_note(position))
        while True:
            for news in self._next():
                ended = self._on(turn, news)
                if ended is not None:
                    return self._result(ended)

    def _next(self) -> list[Signal]:
        """Return what has arrived, at least one signal; text not more often than it is worth drawing."""
        first = self._signals.get()
        if self._frames is not None:
            return [first]
        if isinstance(first, Received) and first.frame.get("type") == "delta":
            time.sleep(max(self._drawn_at + _FRAME_S - time.monotonic(), 0))
        batch = [first]
        while not self._signals.empty():
            batch.append(self._signals.get_nowait())
        self._drawn_at = time.monotonic()
        return coalesced(batch)

    def _on(self, turn: str, news: Signal) -> Ended | None:
        """Act on a signal; return the end of our turn once it is known."""
        match news:
            case Received(frame):
                return self._take(turn, frame)
            case Connected(again=again):
                if again and self._away:
                    self._output.note("connected again")
                self._away = False
                return self._look(turn)
            case Lost():
                if not self._away:
                    self._output.note("the daemon went away; waiting for it to come back")
                self._away = True
            case Interrupted():
                self._stop(turn)
            case Typed(text):
                self._hear(text)
            case GaveUp(error):
                self._output.settle()
                self._output.note(f"your message is kept: {turn} goes on when the daemon runs")
                raise error
        return None

    def _take(self, turn: str, frame: Frame) -> Ended | None:
        if frame.get("type") == "ping":
            return self._look(turn)  # a lost end would else be waited for without limit
        if self._frames is not None and frame.get("turn") == turn:
            self._frames.write(json.dumps(frame, ensure_ascii=False) + "\n")
            self._frames.flush()
        ended = self._show(turn, self._transcript.apply(frame))
        if ended is None and frame.get("type") == "ended":
            return self._look(turn)  # perhaps that was the end of our message too, as a part of that turn
        return ended

    def _look(self, turn: str) -> Ended | None:
        """Ask the journal whether the turn is over."""
        try:
            frame = self._conversation.end_of(turn)
        except ClawdError:
            return None  # the stream tells when the daemon is gone
        if frame is None:
            return None
        self._merged_into = frame.get("merged_into")
        return self._take(turn, frame)

    def _show(self, turn: str, events: list[Event]) -> Ended | None:
        """Show what belongs to our turn; return its end."""
        for event in events:
            if isinstance(event, Said) or event.turn != turn:
                self.others = True
                continue
            if isinstance(event, Over):
                return self._look(turn)
            if isinstance(event, Ended):
                event = self._conversation.explained(event)
                self._presenter.handle(event)
                return event
            if isinstance(event, Asked):
                self._answering.asked(event.question)
                if self._keyboard is not None:
                    self._keyboard.open()
            elif isinstance(event, Resumed):
                self._settled(event)
            self._presenter.handle(event)
        return None

    # --- a question ----------------------------------------------------------------------------------------

    def _how(self, question: Question) -> str:
        """Return how to answer: at the keyboard where somebody sits, else by another command."""
        return how_here(question) if self._keyboard is not None else how_elsewhere(question, self._program)

    def _settled(self, event: Resumed) -> None:
        self._stop_reading()
        if note := self._answering.settled(event.question, datetime.now(UTC)):
            self._output.note(note)

    def _stop_reading(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()

    def _hear(self, text: str | None) -> None:
        """Take a typed line: the word on the question, else a message, which counts as no."""
        question = self._answering.question
        if question is None or (text is not None and not text.strip()):
            return
        if text is None:  # Ctrl-D: nobody answers here any more
            self._stop_reading()
            self._output.note(how_elsewhere(question, self._program))
            return
        word = self._answering.word(text)
        self._answering.said(text)
        try:
            if word:
                self._output.note(self._conversation.answer(question.id, word) or done(word))
            elif (receipt := self._conversation.send(text)).turn is not None:
                self._transcript.sent(receipt.turn)
            else:
                self._output.aside(receipt.text)
        except ClawdError as error:
            self._answering.unsaid()
            self._output.note(f"not taken: {error.what}: {error.why}")

    # --- the end -------------------------------------------------------------------------------------------

    def _result(self, ended: Ended) -> Result:
        code = ended.exit_code
        if ended.outcome != "answered":
            code = EXIT_INTERRUPTED if self._asked_to_stop else code or EXIT_FAILED
        return Result(
            id=ended.turn,
            conversation=self._conversation.name,
            state=ended.outcome,
            text=ended.text,
            model=ended.model,
            exit_code=code,
            error=ended.why or None,
            merged_into=self._merged_into,
            notice=ended.notice,
        )

    def _stop(self, turn: str) -> None:
        self._asked_to_stop = True
        self._answering.acted()
        self._output.note("stopping; Ctrl-C again leaves at once")
        try:
            self._conversation.cancel(turn)
        except ClawdError as error:
            self._output.note(f"could not stop it: {error.what}")

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """Turn the first Ctrl-C into a signal; the second one is Python's own."""

        def interrupted(_number: int, _frame: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._signals.put(Interrupted())

        before = signal.signal(signal.SIGINT, interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def queue_note(position: int) -> str:
    """Return how many messages are answered first."""
    return f"{position} message{'s' if position > 1 else ''} before yours"
