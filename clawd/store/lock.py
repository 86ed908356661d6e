"""The lock on a state directory: one daemon per directory, for as long as it lives."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from clawd.errors import JournalLocked
from clawd.ids import boot_id

FILE: Final = "lock"


class StateLock:
    """Holds `STATE_DIR/lock`; the kernel lets go of it when the process ends, however it ends.

    The file names the holder's pid and boot. flock does not work over every network file system: the
    state directory belongs on a local disk.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, state_dir: Path) -> StateLock:
        """Return the held lock.

        Raises:
            JournalLocked: somebody else holds it; carries the holder's pid.
            OSError: the file can't be opened or written.
        """
        path = state_dir / FILE
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _holder(os.pread(fd, 4096, 0))
            os.close(fd)
            raise JournalLocked(str(path), pid) from error
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps({"pid": os.getpid(), "boot": boot_id()}).encode() + b"\n", 0)
        except OSError:  # a full disk: whoever tries again must not meet its own lock
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        """Let go; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _holder(content: bytes) -> int:
    """Return the pid in a lock file, 0 when it says nothing or speaks of another boot (another host)."""
    with suppress(ValueError, KeyError, TypeError):
        said = json.loads(content)
        if said["boot"] == boot_id():
            return int(said["pid"])
    return 0
