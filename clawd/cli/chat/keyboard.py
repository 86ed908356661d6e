"""Lines typed at a terminal while something else is waited for."""

from __future__ import annotations

import os
import select
import termios
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Keyboard:
    """Reads a terminal line by line in a thread of its own, from `open` to `close`.

    The terminal is read directly: `sys.stdin` would keep its lock in a read that nobody can end.

    Args:
        descriptor: The terminal.
        sink: Takes each line without its end, and None once there are no more; called in the thread.
    """

    def __init__(self, descriptor: int, sink: Callable[[str | None], None]) -> None:
        self._descriptor = descriptor
        self._sink = sink
        self._wake: int | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to read; what was typed before is forgotten, as it can't be meant for what is asked now."""
        if self._wake is not None:
            return
        with suppress(termios.error):
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
        ours, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(ours,), name="chat-keyboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading; returns once nothing typed from now on is taken."""
        wake, self._wake = self._wake, None
        if wake is None or self._thread is None:
            return
        os.close(wake)
        self._thread.join()

    def _read(self, wake: int) -> None:
        rest = b""
        try:
            while True:
                ready, _, _ = select.select([self._descriptor, wake], [], [])
                if wake in ready:
                    return
                data = os.read(self._descriptor, 65536)
                if not data:
                    self._sink(None)
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._sink(line.decode(errors="replace"))
        except OSError:
            self._sink(None)  # the terminal is gone
        finally:
            os.close(wake)
