"""A terminal's whole screen, drawn anew without flicker, for as long as somebody looks.

Written by hand, as it is little: the alternate screen, one write for each picture, and what puts the
terminal back however the command ends. Sources: XTerm Control Sequences (modes 7, 25, 1049), termios(3).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from clawd.cli.printing import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"  # another screen, no cursor, long lines are cut
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_USUAL: Final = (80, 24)
_QUIT: Final = (b"q", b"Q")

Woken = Literal["time", "changed", "quit"]


class FullScreen:
    """The screen between `with` and its end; standard output is a terminal. In the main thread."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._wakeup = -1
        self._pipe = (-1, -1)

    def __enter__(self) -> Self:
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for number, handler in (
            (signal.SIGWINCH, self._resized),
            (signal.SIGTSTP, self._stopped),
            (signal.SIGTERM, self._ended),
            (signal.SIGHUP, self._ended),
        ):
            self._handlers[number] = signal.signal(number, handler)
        self._enter()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leave()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        for end in self._pipe:
            os.close(end)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now, whatever the environment says: it does not follow a window."""
        try:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            columns = rows = 0
        return columns or _USUAL[0], rows or _USUAL[1]  # some terminals do not know theirs

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines from the top, each already cut to the width; what was below them goes."""
        columns, rows = self.size
        # Behind a line that fills its row the cursor stands on its last column: it would be erased.
        body = "\n".join(line if shown(line) >= columns else f"{line}\x1b[K" for line in lines[:rows])
        sys.stdout.write(f"\x1b[H{body}\n\x1b[J" if len(lines) < rows else f"\x1b[H{body}")
        sys.stdout.flush()

    def wait(self, seconds: float) -> Woken:
        """Return when the time is over, when the screen has changed, or when the person leaves."""
        keys = [sys.stdin.fileno()] if self._before is not None else []
        ready, _, _ = select.select([self._pipe[0], *keys], [], [], seconds)
        if self._pipe[0] in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._pipe[0], 4096)
            return "changed"
        if not ready:
            return "time"
        try:
            typed = os.read(keys[0], 64)
        except OSError:
            typed = b""
        return "quit" if not typed or typed.startswith(_QUIT) else "changed"

    def _enter(self) -> None:
        if sys.stdin.isatty():  # what is typed would be written into the picture
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSANOW)
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def _leave(self) -> None:
        with contextlib.suppress(OSError):  # a terminal that hung up
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)

    def _resized(self, *_: object) -> None:
        """Nothing more: that a signal came wakes who waits."""

    def _stopped(self, *_: object) -> None:
        """Hand the terminal back while the shell has it (Ctrl-Z)."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()

    def _ended(self, number: int, _frame: object) -> None:
        raise SystemExit(128 + number)
