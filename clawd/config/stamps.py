"""What tells one state of a file from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Stamp = tuple[int, int, int, int] | None  # None: the file is not there


def stamp(path: Path) -> Stamp:
    """Return the file's stamp; through symbolic links, so that a swapped one counts. Take it before reading."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
