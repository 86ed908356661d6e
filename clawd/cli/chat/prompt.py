"""The line a person types into, with what is live above it. The only module that knows prompt_toolkit."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.utils import get_cwidth

from clawd.cli.chat.terminal import BOLD, DIM, PLAIN
from clawd.errors import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent

    from clawd.cli.chat.conversation import Choices

COMMANDS: Final = {
    "/new": "start a new conversation",
    "/stop": "stop what is running now",
    "/approve": "let what is asked run; /approve always",
    "/deny": "refuse what is asked",
    "/retry": "answer my last message again",
    "/undo": "forget the last message and its answer",
    "/compact": "sum up what was said so far",
    "/status": "how things are",
    "/usage": "what was used today, and its cost",
    "/alerts": "what is wrong; /alerts silence [NUMBER] [2h]",
    "/help": "list the commands",
    "/model": "show or choose the model",
    "/lang": "show or choose the language",
}
TWICE_S: Final = 2.0
_FRAME_S: Final = 0.05
"""Time between two drawings of what grows: twenty a second look steady and cost little."""

_RESERVED_ROWS: Final = 8
"""Rows kept for the line itself, its status and the menu of completions."""


class CommandCompleter(Completer):
    """Completes slash commands and their arguments."""

    def __init__(self, choices: Callable[[], Choices]) -> None:
        self._choices = choices

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        match = re.fullmatch(r"/(model|lang) +(\S*)", text)
        if match:
            words = self._choices().models if match[1] == "model" else ["en", "zh"]
            yield from (
                Completion(word, start_position=-len(match[2])) for word in words if word.startswith(match[2])
            )
        elif re.fullmatch(r"/\w*", text):
            # The question follows a prefix, so a space goes with it.
            routes = {
                f"{prefix} ": "a route" for prefix in self._choices().prefixes if prefix not in COMMANDS
            }
            for name, meaning in {**routes, **COMMANDS}.items():
                if name.startswith(text):
                    yield Completion(name, start_position=-len(text), display_meta=meaning)


class Prompt:
    """Reads messages, and is the surface that answers are drawn on.

    Args:
        history: File of earlier input, None to remember nothing.
        choices: What to complete beside the commands.
        environ: NO_COLOR is honoured.
        on_message: Takes each message.
        on_interrupt: Ctrl-C with nothing typed; returns whether that did something.
    """

    def __init__(
        self,
        *,
        history: Path | None,
        choices: Callable[[], Choices],
        environ: Mapping[str, str],
        on_message: Callable[[str], None],
        on_interrupt: Callable[[], bool],
    ) -> None:
        self._on_message = on_message
        self._on_interrupt = on_interrupt
        self._interrupted_at = float("-inf")
        self._pending: list[str] = []
        self._elsewhere = False  # an editor has the terminal
        self._live: Callable[[int, int], Sequence[str]] = _nothing
        self._drawn: tuple[int, int, str] | None = None
        self._status: Callable[[], Sequence[str]] = tuple
        self._session: PromptSession[int] = PromptSession(
            message=self._message,
            history=FileHistory(str(history)) if history else InMemoryHistory(),
            multiline=True,
            prompt_continuation="  ",
            completer=CommandCompleter(choices),
            complete_while_typing=Condition(self._types_command),
            complete_in_thread=False,
            enable_suspend=True,
            tempfile_suffix=".md",
            erase_when_done=True,
            reserve_space_for_menu=min(len(COMMANDS), 6),
            output=_terminal(environ.get("TERM")),
            color_depth=ColorDepth.DEPTH_1_BIT if environ.get("NO_COLOR") else None,
            key_bindings=self._bindings(),
        )
        self._session.app.min_redraw_interval = _FRAME_S

    # --- the surface -----------------------------------------------------------------------------------

    def print(self, lines: Sequence[str]) -> None:
        """Put lines into the scrollback with the next `flush`."""
        self._pending += lines

    def live(self, lines: Callable[[int, int], Sequence[str]]) -> None:
        """Replace what is live above the line."""
        self._live, self._drawn = lines, None
        self._session.app.invalidate()

    def status(self, lines: Callable[[], Sequence[str]]) -> None:
        """Replace the dim lines above the input; they are asked for at each drawing."""
        self._status = lines
        self._session.app.invalidate()

    def redraw(self) -> None:
        """Draw again: time has passed."""
        self._session.app.invalidate()

    def flush(self) -> None:
        """Print what is pending, above the line.

        The terminal stays in raw mode: prompt_toolkit's `run_in_terminal` leaves it for a moment, and a
        Ctrl-D or Ctrl-C that is typed in this moment gets lost or kills.
        """
        if self._elsewhere or not self._pending:
            return
        app = self._session.app
        text = "".join(f"{line}\r\n" for line in self._pending)
        self._pending.clear()
        if app.is_running:
            app.renderer.erase()
        app.output.write_raw(text)
        app.output.flush()
        if app.is_running:
            app.renderer.reset()
            app.invalidate()

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._session.app.output.get_size().columns

    # --- the life of the line ----------------------------------------------------------------------------

    async def run(self) -> int:
        """Read messages until the person leaves; return the exit code."""
        return await self._session.prompt_async(handle_sigint=False)

    def leave(self, code: int) -> None:
        """End `run`."""
        if self._session.app.is_running and not self._session.app.is_done:
            self._session.app.exit(result=code)

    def restore(self, text: str) -> None:
        """Put a message back that could not be sent, unless something else is being typed."""
        buffer = self._session.default_buffer
        if not buffer.text:
            buffer.insert_text(text)

    def _message(self) -> ANSI:
        size = self._session.app.output.get_size()
        if self._drawn is None or self._drawn[:2] != (size.columns, size.rows):
            lines = self._live(size.columns - 1, max(size.rows - _RESERVED_ROWS, 1))
            self._drawn = (size.columns, size.rows, "".join(f"{line}\n" for line in lines))
        status = "".join(f"{DIM}{fitting(line, size.columns - 1)}{PLAIN}\n" for line in self._status())
        return ANSI(f"{self._drawn[2]}{status}{BOLD}›{PLAIN} ")

    def _types_command(self) -> bool:
        return self._session.default_buffer.text.startswith("/")

    # --- keys --------------------------------------------------------------------------------------------

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER)
        keys.add("enter", filter=typing)(self._enter)
        keys.add("c-j", filter=typing)(_newline)
        keys.add("escape", "enter", filter=typing)(_newline)
        keys.add("c-c", filter=typing)(self._interrupt)
        keys.add("c-x", "c-e", filter=typing)(self._edit)
        keys.add("<sigint>")(self._interrupt)
        empty = Condition(lambda: not self._session.default_buffer.text)
        keys.add("c-d", filter=typing & empty)(self._end)
        return keys

    def _enter(self, event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
            return
        text = buffer.text
        if not text.strip():
            return
        buffer.append_to_history()
        buffer.reset()
        self._on_message(text)

    def _edit(self, event: KeyPressEvent) -> None:
        """Write the message in $VISUAL or $EDITOR; it comes back into the line and is sent by Enter."""

        def back(_: object) -> None:
            self._elsewhere = False
            self.flush()

        self._elsewhere = True
        event.current_buffer.open_in_editor().add_done_callback(back)

    def _interrupt(self, event: KeyPressEvent) -> None:
        """First cancel, then clear; the second one within two seconds leaves."""
        now = time.monotonic()
        twice = now - self._interrupted_at < TWICE_S
        self._interrupted_at = now
        if twice:
            self.leave(EXIT_INTERRUPTED)
        elif not self._on_interrupt():
            event.current_buffer.reset()

    def _end(self, _event: KeyPressEvent) -> None:
        self.leave(EXIT_OK)


def fitting(text: str, width: int) -> str:
    """Return the beginning of one line that fits into `width` cells, an ellipsis where it was cut."""
    if get_cwidth(text) <= width:
        return text
    while text and get_cwidth(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _terminal(term: str | None) -> Vt100_Output:
    """Return the terminal, never asked where its cursor is.

    An answer that comes late, after something was printed above the line, would be about another row; and
    one that never comes makes prompt_toolkit print a warning into the conversation.
    """
    output = Vt100_Output.from_pty(sys.stdout, term=term)
    output.enable_cpr = False
    return output


def _newline(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("\n")


def _nothing(_width: int, _height: int) -> Sequence[str]:
    return ()
