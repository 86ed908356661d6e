"""A directory watched through inotify: waits in the kernel, wakes at once."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

# Source: inotify(7), linux/inotify.h
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE_SELF, _IN_MOVE_SELF = (
    0x2,
    0x80,
    0x100,
    0x400,
    0x800,
)
_BUFFER = 65536


class DirectoryWatch:
    """Tells when a file of a directory was written, made or moved there, or the directory itself goes away.

    Used as a context manager.
    """

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC)
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF | _IN_MOVE_SELF
        if self._descriptor < 0 or libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask) < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(directory))

    def wait(self) -> None:
        """Return once something has changed since the last call; what changed is not told."""
        os.read(self._descriptor, _BUFFER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._descriptor)
