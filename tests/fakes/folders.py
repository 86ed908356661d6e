"""Where tests keep what is written by the thousand: in memory if there is room, as a disk makes everybody wait."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 1 << 30  # bytes; a container may have 64 MB


def _roomy(path: Path) -> bool:
    try:
        return shutil.disk_usage(path).free >= _ROOM
    except OSError:
        return False


BASE: Final = str(_MEMORY if _roomy(_MEMORY) else Path("/tmp"))
"""Short enough for Unix sockets (107 bytes) below it."""
