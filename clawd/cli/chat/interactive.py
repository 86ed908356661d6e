"""The chat a person sits in front of: messages go out while answers come in."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clawd.cli.chat.answering import Answering, Word, done, how_here
from clawd.cli.chat.conversation import Choices
from clawd.cli.chat.events import (
    Asked,
    Began,
    Connected,
    Ended,
    GaveUp,
    Grew,
    Interrupted,
    Lost,
    Over,
    Received,
    Resumed,
    Signal,
    ToolRan,
    Typed,
)
from clawd.cli.chat.oneshot import queue_note
from clawd.cli.chat.presenter import Presenter, one_line
from clawd.cli.chat.prompt import Prompt
from clawd.cli.chat.terminal import TerminalOutput
from clawd.cli.chat.threads import call
from clawd.cli.chat.transcript import Transcript
from clawd.errors import ClawdError, four_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from clawd.cli.chat.conversation import Backlog, Conversation, Follower
    from clawd.cli.chat.events import Event, Frame
    from clawd.cli.questions import Question

_AFTER_SIGNAL = 128
_WAITING_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Message:
    """Something typed.

    `shown`: it stands in the scrollback already, nothing being in its way. `answers`: it is the word on a
    question, and no message.
    """

    text: str
    shown: bool
    answers: tuple[Question, Word] | None = None


class Interactive:
    """One sitting.

    Args:
        conversation: What is talked in.
        backlog: What arrived since the last look.
        history: File of the input history, None for none.
        environ: Chooses colours.
        read: Takes the cursor up to which everything was shown.
        greeting: A first line.
    """

    def __init__(
        self,
        conversation: Conversation,
        backlog: Backlog,
        *,
        history: Path | None,
        environ: Mapping[str, str],
        read: Callable[[str], None],
        greeting: str = "",
    ) -> None:
        self._greeting = greeting
        self._conversation = conversation
        self._backlog = backlog
        self._read = read
        self._choices = Choices()
        self._prompt = Prompt(
            history=history,
            choices=lambda: self._choices,
            environ=environ,
            on_message=self._queue_message,
            on_interrupt=self._cancel_turn,
        )
        self._output = TerminalOutput(self._prompt, environ, lambda: self._prompt.width)
        self._presenter = Presenter(self._output)
        self._transcript = Transcript()
        self._answering = Answering()
        self._stepped = False  # a tool ran: before the next words of the model messages may have joined
        self._messages: asyncio.Queue[_Message] = asyncio.Queue()
        self._signals: asyncio.Queue[Signal] = asyncio.Queue()
        self._sending = asyncio.Lock()
        self._unsent: deque[_Message] = deque()
        self._running = ""
        self._began_at = 0.0
        self._busy = asyncio.Event()
        self._follower: Follower | None = None
        self._away = False

    @property
    def open_turns(self) -> int:
        """How many messages from here have no answer yet."""
        return sum(self._transcript.is_mine(turn) for turn in self._transcript.open_turns)

    async def run(self) -> int:
        """Talk until the person leaves; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._prompt.leave, _AFTER_SIGNAL + number)
        self._prompt.status(self._status)
        self._show_backlog()
        self._prompt.flush()

        def sink(news: Signal) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._signals.put_nowait, news)

        self._follower = self._conversation.follow(lambda: self._transcript.cursor, sink)
        try:
            async with asyncio.TaskGroup() as tasks:
                work = [
                    tasks.create_task(job, name=name)
                    for name, job in (
                        ("watch", self._watch()),
                        ("send", self._send_all()),
                        ("tick", self._tick()),
                        ("choices", self._learn_choices()),
                    )
                ]
                code = await self._prompt.run()
                for task in work:
                    task.cancel()
        finally:
            self._follower.close()
            self._output.abandon()
            self._prompt.flush()
        return code

    # --- out -----------------------------------------------------------------------------------------------

    def _queue_message(self, text: str) -> None:
        question, word = self._answering.question, self._answering.word(text)
        idle = self._presenter.idle and not self._unsent and not self._transcript.open_turns
        shown = idle or question is not None  # what is typed at a question belongs right below it
        message = _Message(text, shown, (question, word) if question and word else None)
        self._unsent.append(message)
        self._messages.put_nowait(message)
        if shown:
            self._output.settle()
            self._output.question(text)
            self._prompt.flush()
        self._prompt.redraw()

    async def _send_all(self) -> None:
        while True:
            message = await self._messages.get()
            if self._follower is not None:
                self._follower.retry()
            self._prompt.flush()
            # What the stream says about this message waits until its turn has a name here.
            async with self._sending:
                if message.answers is None:
                    await self._send(message)
                else:
                    self._answering.said(message.text)
                    await self._answer(*message.answers)
                self._unsent.popleft()
                self._prompt.flush()

    async def _answer(self, question: Question, word: Word) -> None:
        try:
            text = await call(lambda: self._conversation.answer(question.id, word))
        except ClawdError as error:
            self._answering.unsaid()
            self._output.note(one_line(f"not taken: {error.what}: {error.why}", 300))
        else:
            self._output.note(text or done(word))

    async def _send(self, message: _Message) -> None:
        self._answering.said(message.text)
        try:
            receipt = await call(lambda: self._conversation.send(message.text))
        except ClawdError as error:
            self._answering.unsaid()
            self._output.error(f"{four_lines(error)}\nnot sent: {message.text}")
            self._prompt.restore(message.text)
            return
        if receipt.turn is not None:
            self._transcript.sent(receipt.turn)
            if not message.shown:
                self._presenter.asked(receipt.turn, message.text)
            self._note_position(receipt.position)
            return
        if not message.shown:
            self._output.question(message.text)
        self._output.aside(receipt.text)

    def _note_position(self, position: int) -> None:
        if position and self._presenter.idle:
            self._output.note(queue_note(position))
        if self._transcript.open_turns and not self._busy.is_set():
            self._began_at = time.monotonic()
            self._busy.set()

    def _cancel_turn(self) -> bool:
        """Ctrl-C: ask the daemon to stop the turn that runs; return whether there was one."""
        if not self._transcript.open_turns:
            self._output.note("Ctrl-C again leaves, and so does Ctrl-D")
            self._prompt.flush()
            return False
        self._signals.put_nowait(Interrupted())
        return True

    # --- in --------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            news = [await self._signals.get()]
            while not self._signals.empty():
                news.append(self._signals.get_nowait())
            for one in news:
                if isinstance(one, Lost | Interrupted):
                    await self._take(one)  # no turn's name is needed, and sending may wait for the daemon
                else:
                    async with self._sending:
                        await self._take(one)
            self._prompt.flush()

    async def _take(self, news: Signal) -> None:
        match news:
            case Received(frame) if frame.get("type") == "ping":
                await self._look_at_open_turns()
            case Received(frame):
                await self._apply(frame)
            case Connected(again=again):
                if again or self._away:
                    self._output.note("connected again")
                self._away = False
                await self._look_at_open_turns()
            case Lost():
                if not self._away:
                    self._output.note("the daemon went away; waiting for it to come back")
                self._away = True
            case GaveUp(error):
                self._away = True
                self._output.error(four_lines(error) if isinstance(error, ClawdError) else str(error))
                self._output.note("the next message tries again; Ctrl-D leaves")
            case Interrupted():
                await self._cancel()
            case Typed():
                pass  # here the line is the prompt's

    async def _apply(self, frame: Frame) -> None:
        for event in self._transcript.apply(frame):
            await self._show(event)
        self._read(self._transcript.cursor)
        if not self._transcript.open_turns:
            self._busy.clear()

    async def _show(self, event: Event) -> None:
        match event:
            case Over(turn):
                await self._look_at(turn)
            case Ended():
                self._presenter.handle(await call(lambda: self._conversation.explained(event)))
                self._running = ""
                await self._look_behind()
            case Asked(turn, question):
                self._running = turn
                self._busy.set()
                self._answering.asked(question)
                self._presenter.handle(event)
            case Resumed(_, question):
                if note := self._answering.settled(question, datetime.now(UTC)):
                    self._output.note(note)
                self._prompt.redraw()
            case Grew() if self._stepped:
                self._stepped = False
                await self._look_behind()
                self._presenter.handle(event)
            case Began(turn):
                self._running, self._began_at = turn, time.monotonic()
                self._busy.set()
                self._presenter.handle(event)
            case _:
                self._stepped = self._stepped or isinstance(event, ToolRan)
                self._presenter.handle(event)

    async def _look_at_open_turns(self) -> None:
        for turn in self._transcript.open_turns:
            await self._look_at(turn)

    async def _look_behind(self) -> None:
        """Ask what became of the messages that wait: those that joined another's turn come first."""
        for turn in dict.fromkeys((*self._transcript.open_turns, *self._presenter.held_turns)):
            if turn != self._running and not await self._look_at(turn):
                return

    async def _look_at(self, turn: str) -> bool:
        """Show that a turn is over, or became part of another one; return whether that is so."""
        try:
            frame = await call(lambda: self._conversation.standing(turn))
        except ClawdError:
            return False  # the follower tells when the daemon is gone
        if frame is None:
            return False
        await self._apply(frame)
        return True

    async def _cancel(self) -> None:
        turn = self._running or next(iter(self._transcript.open_turns), "")
        if not turn:
            return
        self._answering.acted()
        try:
            await call(lambda: self._conversation.cancel(turn))
        except ClawdError as error:
            self._output.note(f"could not stop it: {error.what}")

    # --- what stands around it ---------------------------------------------------------------------------------

    def _show_backlog(self) -> None:
        if self._greeting:
            self._output.note(self._greeting)
        if self._backlog.earlier:
            self._output.note(f"… earlier: clawd conversations show {self._conversation.name}")
        for frame in self._backlog.entries:
            for event in self._transcript.apply(frame):
                self._presenter.handle(event)
        self._transcript.cursor = self._backlog.cursor
        self._read(self._backlog.cursor)

    def _status(self) -> list[str]:
        """Return what waits, and what runs."""
        waiting = [*self._presenter.held, *(message.text for message in self._unsent if not message.shown)]
        lines = [f"› {one_line(text, 200)}" for text in waiting[:_WAITING_SHOWN]]
        if len(waiting) > _WAITING_SHOWN:
            lines.append(f"  … {len(waiting) - _WAITING_SHOWN} more")
        if self._away:
            return [*lines, "waiting for the daemon"]
        if question := self._answering.question:
            return [*lines, f"{how_here(question)} · Ctrl-C stops"]
        if self._busy.is_set():
            more = f" · {len(waiting)} waiting" if waiting else ""
            return [*lines, f"working {time.monotonic() - self._began_at:.0f} s{more} · Ctrl-C stops"]
        return [*lines, "sending"] if self._unsent else lines

    async def _tick(self) -> None:
        """Let the seconds in the status line pass, only while something runs."""
        while True:
            await self._busy.wait()
            self._prompt.redraw()
            await asyncio.sleep(1)

    async def _learn_choices(self) -> None:
        try:
            self._choices = await call(self._conversation.choices)
        except ClawdError:
            return  # completion is all that is lost
