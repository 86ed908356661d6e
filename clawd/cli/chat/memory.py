"""What the terminal client remembers between two runs: input history, and how far it has read.

Everything is in `STATE/chat` (0700) with files of mode 0600: it is what a person said. A directory that
can't be used costs the memory, never the chat.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from clawd.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_CURSOR_BYTES = 4096


class Memory:
    """The client's own files.

    Args:
        directory: Where they are, None when none can be used: then nothing is remembered.
        why_not: Why there is none, for people.
    """

    def __init__(self, directory: Path | None, why_not: str = "") -> None:
        self._directory = directory
        self.why_not = why_not

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> Memory:
        """Return this user's memory, its directory made.

        It lies in the user's own state directory even when the daemon is a system service, whose
        directory others can't write.
        """
        state = state_dir(None, environ)
        directory = state / "chat"
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)  # it may become the daemon's
            directory.mkdir(exist_ok=True)
            directory.chmod(0o700)
        except OSError as error:
            return cls(None, f"{directory}: {error.strerror or error}")
        return cls(directory)

    def history_file(self) -> Path | None:
        """Return the file of the input history, made with mode 0600; None when nothing is remembered."""
        if self._directory is None:
            return None
        path = self._directory / "history"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
            path.chmod(0o600)
        except OSError as error:
            self.why_not = f"{path}: {error.strerror or error}"
            return None
        return path

    def cursor(self, places: Sequence[str], conversation: str) -> str:
        """Return how far this conversation of the daemon at these places was read; empty for nowhere."""
        path = self._cursor_file(places, conversation)
        if path is None:
            return ""
        try:
            with path.open("rb") as file:
                return file.read(_MAX_CURSOR_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def read_up_to(self, cursor: str, places: Sequence[str], conversation: str) -> None:
        """Keep the cursor; whoever reads the file sees the old or the new one, never half of it."""
        path = self._cursor_file(places, conversation)
        if path is None or not cursor:
            return
        new = path.with_suffix(f".{os.getpid()}")
        try:
            with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
                file.write(f"{cursor}\n")
            new.replace(path)
        except OSError as error:
            self.why_not = f"{path}: {error.strerror or error}"

    def _cursor_file(self, places: Sequence[str], conversation: str) -> Path | None:
        if self._directory is None:
            return None
        key = "\0".join([*places, conversation])
        return self._directory / f"cursor-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
