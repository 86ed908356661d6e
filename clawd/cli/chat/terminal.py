"""A chat on a capable terminal: finished blocks go into the scrollback once, only the last one is live."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Protocol

from clawd.cli.chat.answer import Answer
from clawd.cli.chat.blocks import BlockSplitter
from clawd.cli.chat.markdown import BlockRenderer, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

DIM, RED, BOLD, PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[1m", "\x1b[0m"


class Surface(Protocol):
    """Where lines go."""

    def print(self, lines: Sequence[str]) -> None:
        """Put lines into the scrollback, above what is live."""
        ...

    def live(self, lines: Callable[[int, int], Sequence[str]]) -> None:
        """Replace the live lines; `lines` makes them for a width and a greatest height."""
        ...


class TerminalOutput:
    """Draws an `Output` on a surface.

    Args:
        surface: Where lines go.
        environ: Chooses colours.
        width: Tells the terminal's width in cells.
        stream: Show text while it grows, not only at its end.
    """

    def __init__(
        self, surface: Surface, environ: Mapping[str, str], width: Callable[[], int], *, stream: bool = True
    ) -> None:
        self._stream = stream
        self._surface = surface
        self._renderer = BlockRenderer(environ)
        self._red = "" if environ.get("NO_COLOR") else RED
        self._width = width
        self._answer = Answer()
        self._gap = False  # the next block stands apart from what is above it

    def show(self, text: str) -> None:
        if self._stream:
            self._draw(text)
            self._show_tail()

    def _draw(self, text: str) -> None:
        blocks, restarted = self._answer.show(printable(text))
        if restarted:
            self.note("(again from the start)")
        self._print_blocks(blocks)

    def settle(self) -> None:
        self._print_blocks(self._answer.settle())
        self._show_tail()

    def end(self, text: str) -> None:
        if text:
            self._draw(text)
        self.abandon()

    def abandon(self) -> None:
        self.settle()
        self._answer = Answer()

    def aside(self, text: str) -> None:
        splitter = BlockSplitter()
        self._print_blocks([*splitter.feed(printable(text)), *splitter.finish()])

    def note(self, text: str) -> None:
        self._lines([f"{DIM}{line}{PLAIN}" for line in self._wrapped(text)], block=False)

    def notice(self, text: str) -> None:
        self._lines([f"{DIM}{line}{PLAIN}" for line in self._wrapped(text) if line], block=True)

    def error(self, text: str) -> None:
        self._lines([f"{self._red}{line}{PLAIN}" for line in self._wrapped(text)], block=True)

    def question(self, text: str) -> None:
        first, *more = printable(text).strip("\n").split("\n")
        self._lines([f"{BOLD}› {first}{PLAIN}", *(f"{BOLD}  {line}{PLAIN}" for line in more)], block=True)

    def asks(self, head: str, call: str, how: str) -> None:
        # The call is left to the terminal to wrap: what is decided about must be there to the character.
        hints = [f"{DIM}{line}{PLAIN}" for line in self._wrapped(how)]
        self._lines([f"{BOLD}? {head}{PLAIN}", f"    {call}", *hints], block=True)

    def _wrapped(self, text: str) -> list[str]:
        """Return printable lines, cut between words; a line that goes on is indented."""
        return [
            piece
            for line in printable(text).split("\n")
            for piece in textwrap.wrap(
                line,
                max(self._width(), 10),
                subsequent_indent="  ",
                drop_whitespace=True,
                break_on_hyphens=False,
            )
            or [""]
        ]

    def _print_blocks(self, blocks: Sequence[str]) -> None:
        for block in blocks:
            if block.strip():
                self._lines(self._renderer.lines(block, self._width()), block=True)

    def _lines(self, lines: Sequence[str], *, block: bool) -> None:
        """Print lines, a block with a blank line between it and what came before."""
        if lines:
            self._surface.print(["", *lines] if block and self._gap else lines)
            self._gap = True

    def _show_tail(self) -> None:
        tail, gap = self._answer.tail, self._gap

        def lines(width: int, height: int) -> Sequence[str]:
            if not tail.strip():
                return []
            made = self._renderer.lines(newest(tail, height), width, live=True)
            shown = ["", *made] if gap else made
            return shown[-height:] if height > 0 else []

        self._surface.live(lines)


def newest(tail: str, height: int) -> str:
    """Return the end of open code, its fence in front; other text as it is. A long listing costs no more."""
    fence, *lines = tail.lstrip("\n").split("\n")
    if not fence.startswith(("```", "~~~")) or len(lines) <= height:
        return tail
    return "\n".join([fence, *lines[-height:]])


def _terminal_size() -> tuple[int, int]:
    size = shutil.get_terminal_size()
    return size.columns, size.lines


class LiveSurface:
    """A surface on a terminal that nobody types into: the live lines are moved down by what is printed.

    Args:
        out: The terminal.
        size: Tells (columns, rows).
    """

    def __init__(self, out: TextIO, size: Callable[[], tuple[int, int]] | None = None) -> None:
        self._out = out
        self._size = size or _terminal_size
        self._height = 0  # live lines on the screen

    def width(self) -> int:
        """Columns of the terminal."""
        return self._size()[0]

    def print(self, lines: Sequence[str]) -> None:
        self._out.write(self._erase() + "".join(f"{line}\n" for line in lines))
        self._out.flush()

    def live(self, lines: Callable[[int, int], Sequence[str]]) -> None:
        columns, rows = self._size()
        # One column is left free: a line that fills the last one wraps on some terminals and not on others.
        made = lines(columns - 1, rows - 1)
        self._out.write(self._erase() + "".join(f"{line}\n" for line in made))
        self._out.flush()
        self._height = len(made)

    def _erase(self) -> str:
        height, self._height = self._height, 0
        return f"\x1b[{height}A\r\x1b[J" if height else ""
