"""The side file: how far the database had got, kept outside of it.

SQLite takes a damaged or missing write-ahead log for a short one and opens without a word, with
everything after the damage gone. A number beside the database tells.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FILE: Final = "journal.mark"


class Mark:
    """`STATE_DIR/journal.mark`: the highest committed id, never more than is on the disk."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE

    def read(self) -> int | None:
        """Return the number, None when there is no side file; 0 when it can't be read."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return int(json.loads(content)["highest"])
        except (ValueError, KeyError, TypeError):
            log.warning("journal_mark_unreadable", extra={"path": str(self.path)})
            return 0

    def write(self, highest: int) -> bool:
        """Replace the number, on the disk when this returns; False when that failed (it is tried again)."""
        fresh = self.path.with_suffix(".new")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, json.dumps({"highest": highest}).encode() + b"\n")
                os.fsync(fd)
            finally:
                os.close(fd)
            fresh.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            # A full disk: the number on file is lower than it could be, which is the safe side.
            log.warning("journal_mark_failed", extra={"error": str(error)})
            return False
        return True


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk, whoever wrote it."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Bring new names in a directory to the disk."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_names(path: Path) -> None:
    """Bring a new file's name to the disk, with those of the folders above it, which may be new as well.

    Raises:
        OSError: the file's own folder can't be synced. One further up that we may not open is not ours, so
            it was there before.
    """
    sync_directory(path.parent)
    for folder in path.parent.parents:
        with suppress(OSError):
            sync_directory(folder)
