"""The chat on a terminal that can do nothing but print lines: one message after the other."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from clawd.cli.chat.markdown import printable
from clawd.cli.chat.oneshot import OneShot
from clawd.cli.chat.output import RawOutput
from clawd.cli.chat.presenter import Presenter
from clawd.cli.chat.transcript import Transcript
from clawd.errors import EXIT_INTERRUPTED, EXIT_OK, ClawdError, four_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.cli.chat.conversation import Backlog, Conversation


def sit(conversation: Conversation, backlog: Backlog, read: Callable[[str], None], first: str = "") -> int:
    """Talk until the person leaves; return the exit code.

    Args:
        conversation: What is talked in.
        backlog: What arrived since the last look.
        read: Takes the cursor up to which everything was shown.
        first: A message to send before the first line is read.
    """
    with suppress(ImportError):  # editing the line is a comfort
        import readline  # noqa: F401 - importing it is what makes `input` edit
    output = RawOutput(sys.stdout, sys.stderr, notes=True, clean=printable)
    transcript, presenter = Transcript(), Presenter(output)
    for frame in backlog.entries:
        for event in transcript.apply(frame):
            presenter.handle(event)
    read(backlog.cursor)
    shot = OneShot(conversation, output, keyboard=sys.stdin.fileno())
    try:
        while True:
            if text := (first or input("> ")).strip():
                _ask(shot, text, read)
            first = ""
    except EOFError:
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _ask(shot: OneShot, text: str, read: Callable[[str], None]) -> None:
    try:
        shot.run(text)
        read(shot.read_to)
    except ClawdError as error:
        sys.stderr.write(f"{four_lines(error)}\n")
