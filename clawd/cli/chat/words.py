"""The prompt of a one-shot chat: the words of the command line, then what comes in by a pipe."""

from __future__ import annotations

import select
import stat
import sys
from os import fstat
from typing import TYPE_CHECKING, Final

from clawd.errors import EXIT_USAGE, ClawdError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

MAX_BYTES: Final = 1_000_000
"""More than any model reads; the daemon's own limit is 1 MiB for the whole request."""

_PATIENCE_S: Final = 2.0


class InputError(ClawdError):
    """What was typed or piped can't be a message."""

    code = "E-INPUT"
    exit_code = EXIT_USAGE


def compose(words: Sequence[str], message: str | None, piped: str) -> str:
    """Return the prompt: words or `--message`, a blank line, what was piped; empty when all are.

    Raises:
        InputError: both words and `--message`.
    """
    if words and message is not None:
        raise InputError(
            "the message is there twice",
            why="both MESSAGE and --message were given",
            remedy='clawd chat -m "MESSAGE"',
        )
    asked = (" ".join(words) if message is None else message).strip()
    return "\n\n".join(part for part in (asked, piped.strip("\r\n")) if part.strip())


def read_pipe(source: BinaryIO | None, tell: Callable[[str], None]) -> str:
    """Return all of standard input; empty when there is none, or when it is a terminal.

    Args:
        source: The binary standard input, None when it is closed.
        tell: Told once when nothing arrives for 2 s: a forgotten open pipe would otherwise look like a hang.

    Raises:
        InputError: more than 1 MB, or not UTF-8.
    """
    if source is None or source.closed or source.isatty():
        return ""
    mode = fstat(source.fileno()).st_mode
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    if waits and not select.select([source], [], [], _PATIENCE_S)[0]:
        tell("reading standard input until it ends (close it with < /dev/null)")
    data = source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(
            "standard input is too long",
            why=f"more than {MAX_BYTES:,} bytes",
            remedy="send a part of it: … | head -c 200000 | clawd chat",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "standard input is no text",
            why=f"byte {error.start} is not UTF-8",
            remedy="convert it first: … | iconv -t utf-8 | clawd chat",
        ) from error


def stdin_bytes() -> BinaryIO | None:
    """Return the binary standard input, None when the process was started without one."""
    # typeshed has no None here, but `<&-` makes one.
    return getattr(sys.stdin, "buffer", None)
