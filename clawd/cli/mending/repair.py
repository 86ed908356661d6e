"""One thing to mend, and the folder that keeps what it replaced."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clawd.store.backup import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNDO: Final = "undo.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One repair. `id` is that of the check which tells the fault; `do` mends it, and raises OSError or ClawdError."""

    id: str
    what: str
    do: Callable[[Keepsakes], None]


class Keepsakes:
    """`STATE_DIR/backups/doctor-TIME`, made when something is to be kept: files, and `undo.sh` for permissions."""

    def __init__(self, state_dir: Path, now: float) -> None:
        self._folder = state_dir / FOLDER / f"doctor-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
        self._state_dir = state_dir

    @property
    def folder(self) -> Path | None:
        """Where it is, None when nothing was kept."""
        return self._folder if self._folder.exists() else None

    def place(self, name: str) -> Path:
        """Return a free path for a file of this name in the folder."""
        self._folder.parent.mkdir(mode=0o700, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path, number = self._folder / name, 1
        while path.exists():
            path, number = self._folder / f"{name}.{number}", number + 1
        return path

    def move(self, path: Path) -> None:
        """Put a file away; it can be put back."""
        kept = self.place(path.name)
        shutil.move(path, kept)
        self.undo("mv", str(kept), str(path))

    def undo(self, *words: str) -> None:
        """Note the command that takes something back."""
        path = self.place("x").with_name(UNDO)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
            file.write(f"{shlex.join(words)}\n")
