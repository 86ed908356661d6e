"""Where log lines end: a rotated file and standard error. Losing a line is allowed, stopping is not.

Both write plainly from the calling thread. A line into the page cache costs some microseconds, less than
handing it to a thread would, and a process that is killed has written what it logged. What could make a
write wait is asked first (`Descriptor`) or does not happen on a local file.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
from abc import ABC, abstractmethod
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 4096  # PIPE_BUF: a pipe that is ready takes this much without waiting; see pipe(7)


class LinesLost(Exception):
    """A write took only a part, or nothing, of what it was given."""


class Lines(ABC):
    """A text stream, as `logging` wants one, that remembers when a write broke off within a line."""

    def __init__(self) -> None:
        self._torn = False

    def write(self, text: str) -> None:
        """Write whole lines.

        Raises:
            OSError: nothing was written.
            LinesLost: at best a part was written.
        """
        data = text.encode("utf-8", "backslashreplace")
        if self._torn:
            data = b"\n" + data  # the next line must not be glued to half of another
        written = self._write(data)
        if written < len(data):
            self._torn = self._torn or written > 0
            raise LinesLost
        self._torn = False

    @abstractmethod
    def close(self) -> None:
        """Free what is held; a later write opens it again."""

    @abstractmethod
    def _write(self, data: bytes) -> int:
        """Return how many bytes were taken."""


class RotatedFile(Lines):
    """Appends to a file of mode 0600; beyond `max_bytes` it becomes PATH.1, that one PATH.2 and so on.

    Before each line it looks whether the file is still the one at its path: one that was removed, or renamed by
    logrotate, would swallow what is written to it. That takes a microsecond. The directory is not made again:
    where it was moved, or its disk taken out, another one in its place would be in the way of its return.
    """

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        super().__init__()
        self.path = path
        self.max_bytes = max_bytes
        self.backups = backups
        self._fd = -1
        self._file = (0, 0)  # device and inode
        self._size = 0

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _write(self, data: bytes) -> int:
        if self._fd >= 0 and not self._is_in_place():
            self.close()
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(data) > self.max_bytes:
            self._rotate()
        written = os.write(self._fd, data)  # a disk that fills up takes a part
        self._size += written
        return written

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        status = os.fstat(self._fd)
        self._file, self._size = (status.st_dev, status.st_ino), status.st_size

    def _is_in_place(self) -> bool:
        try:
            status = os.stat(self.path)  # noqa: PTH116 - a microsecond less, for every line
        except FileNotFoundError:
            return False
        except OSError:
            return True  # nothing is known: what is open still takes lines
        self._size = min(self._size, status.st_size)  # somebody may have emptied it
        return (status.st_dev, status.st_ino) == self._file

    def _rotate(self) -> None:
        self.close()
        files = [self.path, *(self.path.with_name(f"{self.path.name}.{n + 1}") for n in range(self.backups))]
        files[-1].unlink(missing_ok=True)
        for number in range(self.backups, 0, -1):
            if files[number - 1].exists():
                files[number - 1].replace(files[number])
        self._open()


class Descriptor(Lines):
    """Writes to a descriptor that somebody else reads, and drops lines while nobody does.

    A full pipe, a stopped terminal (Ctrl-S) or a stuck log collector would otherwise hold the whole
    daemon. The descriptor is not made non-blocking, as that would change it for its other users too.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._poll = select.poll()
        # A copy: were the number closed, and used again for a database, our lines would end up in there.
        try:
            self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        except OSError:
            self._fd = -1
        else:
            self._poll.register(self._fd, select.POLLOUT)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._poll.unregister(fd)
            os.close(fd)

    def _write(self, data: bytes) -> int:
        for start in range(0, len(data), _CHUNK):
            if not any(events & select.POLLOUT for _fd, events in self._poll.poll(0)):
                return start
            os.write(self._fd, data[start : start + _CHUNK])
        return len(data)


class Sink(logging.StreamHandler[Lines]):
    """A handler that never raises; `lost` counts the lines lost since the last one that got through."""

    def __init__(self, lines: Lines, formatter: logging.Formatter) -> None:
        super().__init__(lines)
        self.lost = 0
        self.setFormatter(formatter)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, after one that tells of lost ones."""
        line = super().format(record)
        if not self.lost:
            return line
        notice = {
            "name": __name__,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "log_lines_lost",
        }
        told = logging.makeLogRecord({**notice, "count": self.lost})
        # In an empty context: it is about no turn.
        return f"{Context().run(super().format, told)}\n{line}"

    def emit(self, record: logging.LogRecord) -> None:
        before = self.lost
        super().emit(record)
        if self.lost == before:
            self.lost = 0

    def flush(self) -> None:
        """Nothing is buffered here."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Count the line; the stock version would print the record with its secrets."""
        del record
        self.lost += 1

    def close(self) -> None:
        self.stream.close()
        super().close()
