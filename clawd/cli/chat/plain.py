"""The chat on a terminal that can do nothing but print lines: one message after the other."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
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
    from clawd.cli.chat.oneshot import Result


def sit(conversation: Conversation, backlog: Backlog, read: Callable[[str], None]) -> int:
    """Talk until the person leaves; return the exit code.

    Args:
        conversation: What is talked in.
        backlog: What arrived since the last look.
        read: Takes the cursor up to which everything was shown.
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
        if waiting := conversation.asking():
            _follow(lambda: shot.join(waiting), shot, read)
        while True:
            if text := input("> ").strip():
                _follow(partial(shot.run, text), shot, read)
    except EOFError:
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _follow(turn: Callable[[], Result], shot: OneShot, read: Callable[[str], None]) -> None:
    try:
        turn()
        read(shot.read_to)
    except ClawdError as error:
        sys.stderr.write(f"{four_lines(error)}\n")
