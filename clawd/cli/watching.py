"""A directory watched through inotify: waits in the kernel, wakes at once."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100  # Source: inotify(7), linux/inotify.h
_BUFFER = 65536


class DirectoryWatch:
    """Tells when a file of a directory was written, made or moved there. Used as a context manager."""

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC)
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
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
