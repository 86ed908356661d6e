"""Tells when names in directories change, woken by the kernel: an idle watch costs nothing.

The package watchfiles wakes a thread every `step` and needs two of them to report a change, so it either polls some
20 times a second or is late; it serves where there is no inotify.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

# inotify(7). Not IN_MODIFY: half-written is nothing to look at, and a database next door would wake us at every write.
_IN_ATTRIB: Final = 0x0004
_IN_CLOSE_WRITE: Final = 0x0008
_IN_MOVED_FROM: Final = 0x0040
_IN_MOVED_TO: Final = 0x0080
_IN_CREATE: Final = 0x0100
_IN_DELETE: Final = 0x0200
_IN_DELETE_SELF: Final = 0x0400
_IN_MOVE_SELF: Final = 0x0800
_IN_Q_OVERFLOW: Final = 0x4000
_IN_IGNORED: Final = 0x8000
_IN_ONLYDIR: Final = 0x0100_0000
_NAMES: Final = _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
_ITSELF: Final = _IN_DELETE_SELF | _IN_MOVE_SELF
_EVENT: Final = struct.Struct("iIII")


class WatchRefused(OSError):
    """The system allows this user no further inotify instance or watch."""


def available() -> bool:
    """Whether this system has inotify."""
    return hasattr(_libc(), "inotify_init1")


class Inotify:
    """Watches names in directories; use it as a context manager within a running event loop."""

    def __init__(self) -> None:
        self._fd = -1
        self._directories: dict[str, int] = {}
        self._names: dict[int, frozenset[str]] = {}
        self._changed = asyncio.Event()

    def __enter__(self) -> Inotify:
        """Raises WatchRefused: the user's limit of instances is reached."""
        self._fd = _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def watch(self, names: Mapping[Path, Iterable[str]]) -> None:
        """Watch exactly these names in these directories from now on; a directory that is gone is passed over.

        Raises:
            WatchRefused: the user's limit of watches is reached.
        """
        wanted = {str(directory): frozenset(of_interest) for directory, of_interest in names.items()}
        for directory in self._directories.keys() - wanted.keys():
            self._forget(directory)
        for directory, of_interest in wanted.items():
            try:
                # Asked anew each time: the directory may be another one under the old name.
                wd = _call(
                    "inotify_add_watch", self._fd, os.fsencode(directory), _NAMES | _ITSELF | _IN_ONLYDIR
                )
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            old = self._directories.get(directory)
            if old not in (None, wd):
                self._forget(directory)
            self._directories[directory] = wd
            self._names[wd] = of_interest

    async def wait(self) -> None:
        """Return when a watched name was created, closed after writing, moved, deleted or chmodded."""
        await self._changed.wait()
        self._changed.clear()

    def _forget(self, directory: str) -> None:
        wd = self._directories.pop(directory)
        self._names.pop(wd, None)
        if wd not in self._directories.values():
            try:
                _call("inotify_rm_watch", self._fd, wd)
            except OSError:
                return  # the kernel dropped it with the directory

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            wd, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
            offset += length
            if mask & (_IN_Q_OVERFLOW | _ITSELF) or name in self._names.get(wd, ()):
                self._changed.set()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> int:
    result = int(getattr(_libc(), name)(*arguments))
    if result < 0:
        code = ctypes.get_errno()
        # These two are limits: fs.inotify.max_user_instances and max_user_watches.
        kind = WatchRefused if code in (errno.EMFILE, errno.ENOSPC) else OSError
        raise kind(code, os.strerror(code), name)
    return result
