"""A directory watched through inotify: waits in the kernel, wakes at once."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

# Source: inotify(7), linux/inotify.h
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_IN_DELETE_SELF, _IN_MOVE_SELF, _IN_IGNORED = 0x400, 0x800, 0x8000
_GONE = _IN_DELETE_SELF | _IN_MOVE_SELF
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name behind it
_BUFFER = 65536
_LOOK_S = 1.0


class DirectoryWatch:
    """Tells when a file of a directory was written, made or moved there, or the directory itself goes away.

    Used as a context manager.
    """

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC)
        masks = {directory: _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _GONE}
        # Who moves one of those above takes the directory away as well, and it is not told.
        masks |= dict.fromkeys(directory.absolute().parents, _GONE)
        for place, mask in masks.items():
            if self._descriptor < 0 or libc.inotify_add_watch(self._descriptor, os.fsencode(place), mask) < 0:
                error = ctypes.get_errno()
                if place != directory and error != errno.ENOENT:
                    continue  # not everybody may look at all of them
                if self._descriptor >= 0:
                    os.close(self._descriptor)
                raise OSError(error, os.strerror(error), str(place))

    def wait(self) -> bool:
        """Return once something has changed since the last call.

        False: the directory is not there any more, or nothing was told for a while: not every file system tells
        all that happens to a directory, so whoever waits has to look for himself now and then.
        """
        if not select.select([self._descriptor], [], [], _LOOK_S)[0]:
            return False
        events = os.read(self._descriptor, _BUFFER)
        at, there = 0, True
        while at < len(events):
            _watch, mask, _cookie, size = _EVENT.unpack_from(events, at)
            at += _EVENT.size + size
            there = there and not mask & (_GONE | _IN_IGNORED)
        return there

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._descriptor)
