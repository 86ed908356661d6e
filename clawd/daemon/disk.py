"""What the state directory takes and what is left on its file system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.observability import names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clawd.observability.metrics import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """Sizes in bytes."""

    free: int  # for us; what is kept for root is not among it
    size: int
    database: int
    wal: int

    def families(self) -> Sequence[Family]:
        """Return them as metrics."""
        files = [(("database",), float(self.database)), (("wal",), float(self.wal))]
        return (
            names.JOURNAL_BYTES.family(files),
            names.DISK_FREE.number(self.free),
            names.DISK_SIZE.number(self.size),
        )


def read_disk(database: Path) -> DiskFacts | None:
    """Return the facts of now, None where the disk does not tell; it may block for as long as the disk does."""
    try:
        space = os.statvfs(database.parent)
        return DiskFacts(
            free=space.f_bavail * space.f_frsize,
            size=space.f_blocks * space.f_frsize,
            database=database.stat().st_size,
            wal=_size(database.with_name(f"{database.name}-wal")),
        )
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
