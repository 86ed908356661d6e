"""A terminal: runs a program on a real pseudo-terminal and keeps the screen that a person would see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata
from typing import TYPE_CHECKING, Any

from tests.crash.nursery import can_fork
from tests.fakes.forked import CLAWD, ForkedProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CSI = re.compile(r"\x1b\[([?>=]?)([\d;]*)([@-~])")
_OTHER = re.compile(r"\x1b(?:[()][A-Z0-9]|[=>78cDMEH]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


class Screen:
    """The part of a VT100 that line-oriented programs use; an unknown sequence is an error.

    Lines that leave at the top go to `scrollback`.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.scrollback: list[str] = []
        self.reports: list[str] = []  # what the terminal answers to the program
        self._lines: list[list[str]] = [[] for _ in range(rows)]
        self._row = 0
        self._column = 0
        self._rest = ""

    def text(self) -> str:
        """Everything that can be seen, scrolling up included, without white space at line ends."""
        seen = [*self.scrollback, *("".join(line).rstrip() for line in self._lines)]
        return "\n".join(seen).rstrip("\n")

    def visible(self) -> str:
        """The screen alone."""
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip("\n")

    def feed(self, text: str) -> None:
        """Take output."""
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                match = _CSI.match(text, at) or _OTHER.match(text, at)
                if match is None:
                    if len(text) - at > 200:
                        raise AssertionError(f"unknown sequence {text[at : at + 20]!r}")
                    self._rest = text[at:]
                    return
                if match.re is _CSI:
                    self._sequence(match[1], match[2], match[3])
                at = match.end()
                continue
            self._char(char)
            at += 1

    def _char(self, char: str) -> None:
        if char == "\n":
            self._down()
        elif char == "\r":
            self._column = 0
        elif char == "\b":
            self._column = max(self._column - 1, 0)
        elif char in "\x07\x0f" or unicodedata.combining(char):
            pass
        elif ord(char) < 32 or ord(char) == 127:
            raise AssertionError(f"control character {char!r} reached the terminal")
        else:
            width = 2 if unicodedata.east_asian_width(char) in "WF" else 1
            if self._column + width > self.columns:
                self._column = 0
                self._down()
            line = self._lines[self._row]
            line += [" "] * (self._column + width - len(line))
            line[self._column] = char
            if width == 2:
                line[self._column + 1] = ""
            self._column += width

    def _down(self) -> None:
        if self._row < self.rows - 1:
            self._row += 1
        else:
            self.scrollback.append("".join(self._lines.pop(0)).rstrip())
            self._lines.append([])

    def _sequence(self, private: str, arguments: str, final: str) -> None:
        numbers = [int(part) for part in arguments.split(";") if part]
        count = max(numbers[0] if numbers else 1, 1)
        match final:
            case "A":
                self._row = max(self._row - count, 0)
            case "B":
                self._row = min(self._row + count, self.rows - 1)
            case "C":
                self._column = min(self._column + count, self.columns - 1)
            case "D":
                self._column = max(self._column - count, 0)
            case "G":
                self._column = count - 1
            case "H":
                self._row = min(count, self.rows) - 1
                self._column = (numbers[1] if len(numbers) > 1 else 1) - 1
            case "J":
                self._erase_display(numbers[0] if numbers else 0)
            case "K":
                line = self._lines[self._row]
                if numbers and numbers[0] == 2:
                    line.clear()
                else:  # the cursor of a row that is full stands on its last column, as in xterm
                    del line[min(self._column, self.columns - 1) :]
            case "n" if numbers == [6]:
                self.reports.append(f"\x1b[{self._row + 1};{self._column + 1}R")
            case "m" | "h" | "l" | "t" | "c" | "q" | "u":
                pass
            case _:
                raise AssertionError(f"unknown sequence CSI {private}{arguments}{final}")

    def _erase_display(self, how: int) -> None:
        if how == 0:
            del self._lines[self._row][self._column :]
            for line in self._lines[self._row + 1 :]:
                line.clear()
        elif how == 2:
            for line in self._lines:
                line.clear()


def _begin(
    argv: Sequence[str], env: Mapping[str, str], slave: int
) -> subprocess.Popen[bytes] | ForkedProgram:
    """Run the program on this terminal. It must be the controlling one, or Ctrl-C is only a character."""
    streams = (slave, slave, slave)
    if tuple(argv[: len(CLAWD)]) == CLAWD and can_fork(env):
        return ForkedProgram("clawd.cli.main", argv[len(CLAWD) :], env, streams, terminal=True)
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )


class Terminal:
    """A program on a pseudo-terminal, and somebody who types.

    Args:
        argv: The program.
        env: Its whole environment.
        columns: Width.
        rows: Height.
    """

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], *, columns: int = 80, rows: int = 24
    ) -> None:
        self.screen = Screen(columns, rows)
        self.raw = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = _begin(argv, env, slave)
        os.close(slave)
        self._undecoded = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size: what was on the screen goes, and the program is told."""
        self.screen = Screen(columns, rows)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """Return how the terminal treats what is typed, as `termios.tcgetattr` does."""
        return termios.tcgetattr(self._master)

    def until(self, what: str | Callable[[Screen], bool], timeout_s: float = 30) -> str:
        """Return all that was seen once it holds `what`; fails when it does not come."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self.screen.text()
            if what in seen if isinstance(what, str) else what(self.screen):
                return seen
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._read(left_s):
                raise AssertionError(f"{what!r} was not seen on:\n{seen}\n--- raw: {self.raw[-600:]!r}")

    def wait(self, timeout_s: float = 30) -> int:
        """Return the exit code; what comes until then is shown."""
        deadline = time.monotonic() + timeout_s
        while self._read(max(deadline - time.monotonic(), 0)):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 0.1))

    def _read(self, timeout_s: float) -> bool:
        """Take what the program wrote; False at its end or when nothing came in time."""
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):  # EIO: the program has closed the terminal
            data = os.read(self._master, 65536)
        if not data:
            return False
        data = self._undecoded + data
        text = data.decode(errors="ignore")
        kept = len(text.encode())
        self._undecoded = data[kept:] if len(data) - kept < 4 else b""
        self.raw += text
        self.screen.feed(text)
        for report in self.screen.reports:
            os.write(self._master, report.encode())
        self.screen.reports.clear()
        return True
