"""Where every thread was when the process was killed by a fault of its own, or by the service manager's watchdog."""

from __future__ import annotations

import faulthandler
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

log = logging.getLogger(__name__)

FILE: Final = "stacks.txt"
_MOST: Final = 65_536  # bytes


class CrashStacks:
    """Has the stacks written at a fatal signal; what an earlier process left is logged as `crashed_before`.

    The signals are SIGSEGV, SIGFPE, SIGBUS, SIGILL and SIGABRT, by which systemd ends a service that does not feed
    its watchdog (systemd.service(5), WatchdogSec=). Stacks are files, lines and functions, without values.

    Args:
        folder: Where the file goes. Without one that takes it, nothing is written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._fd = -1

    def __enter__(self) -> Self:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(self._path, flags, 0o600)
            left = os.pread(self._fd, _MOST, 0).decode(errors="replace")
            os.ftruncate(self._fd, 0)
        except OSError as error:
            log.warning("no_crash_stacks", extra={"path": str(self._path), "error": error.strerror})
            return self
        if left:
            log.error("crashed_before", extra={"stacks": left.strip()})
        faulthandler.enable(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd < 0:
            return
        faulthandler.disable()
        os.close(self._fd)
        self._fd = -1
        with suppress(OSError):
            self._path.unlink()
