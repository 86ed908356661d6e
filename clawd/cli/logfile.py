"""Lines of the daemon's rotated log file: the last ones, and those that come."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from clawd.cli.logfilter import LogFilter, LogLine, parsed
from clawd.cli.watching import DirectoryWatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

MAX_BACKUPS: Final = 100
_BLOCK: Final = 128 * 1024  # bytes that are read at a time, from the end


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log file was read; the inode tells a rotated file from its successor."""

    inode: int
    offset: int


def last_lines(path: Path, wanted: LogFilter, count: int | None) -> tuple[Position, Sequence[LogLine]]:
    """Return how far the file was read, and its last `count` wanted lines, the oldest first; None: all.

    Rotated files (`PATH.1`, older ones with greater numbers) are read as far back as needed, from their ends.
    """
    with ExitStack() as stack:
        files = _opened(path, wanted.since, stack)
        position = Position(_inode_of(files[0]), _end_of_lines(files[0]))
        found: list[LogLine] = []
        for number, file in enumerate(files):
            for raw in _backwards(file, position.offset if number == 0 else _size(file)):
                if len(found) == count:
                    return position, found[::-1]
                if (line := wanted.line(raw)) is not None:
                    found.append(line)
        return position, found[::-1]


def new_lines(path: Path, position: Position, wanted: LogFilter) -> Iterator[LogLine]:
    """Yield wanted lines as they are written, until the caller has enough.

    Over rotations, over a file that was emptied, and over a directory that vanishes and comes back.
    """
    tail = _Tail(path, position)
    try:
        while True:
            place = _existing(path.parent)
            try:
                watch = DirectoryWatch(place)
            except FileNotFoundError:  # it went away just now
                continue
            with watch:
                while True:
                    for raw in tail.ready():
                        if (line := wanted.line(raw)) is not None:
                            yield line
                    if _existing(path.parent) != place or not watch.wait():
                        break
    finally:
        tail.close()


class _Tail:
    """Reads on in the file that is at the path now, once those before it are read to their ends."""

    def __init__(self, path: Path, position: Position) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        for number in range(MAX_BACKUPS + 1):  # it may have been rotated since
            file = _open(path, number)
            if file is None:
                break
            if _inode_of(file) == position.inode:
                file.seek(position.offset)
                self._file = file
                break
            file.close()

    def ready(self) -> Iterator[bytes]:
        """Yield what there is, in whole lines."""
        if self._file is not None:
            yield from _whole(self._file)
        while (successor := self._successor()) is not None:
            if self._file is not None:
                yield from _whole(self._file)  # what came between the last look and the rotation
                self._file.close()
            self._file = successor
            yield from _whole(successor)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _successor(self) -> BinaryIO | None:
        """Return the file that comes after this one, None when this is the newest."""
        if self._file is None:
            return _open(self._path, 0)
        # The number of a file that was removed may be another's by now.
        own = _inode_of(self._file) if os.fstat(self._file.fileno()).st_nlink else -1
        while True:
            number = self._number(own)
            if number == 0:
                return None
            after = _open(self._path, 0 if number is None else number - 1)
            # A rotation between the two looks would have us leave one out.
            if after is None or (_inode_of(after) != own and self._number(own) == number):
                return after
            after.close()

    def _number(self, inode: int) -> int | None:
        """Return under which number a file stands now; None where it is gone."""
        missing = 0
        for number in range(MAX_BACKUPS + 1):
            try:
                if _numbered(self._path, number).stat().st_ino == inode:
                    return number
            except OSError:
                missing += 1
                if missing > 1:  # one may be between two names just now
                    return None
        return None


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


def _inode_of(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _open(path: Path, number: int) -> BinaryIO | None:
    try:
        return _numbered(path, number).open("rb")
    except FileNotFoundError:
        return None


def _opened(path: Path, since: datetime | None, stack: ExitStack) -> list[BinaryIO]:
    """Return the files, the newest first, as far back as `since` reaches; raises FileNotFoundError without any."""
    files: list[BinaryIO] = [stack.enter_context(path.open("rb"))]
    seen = {_inode_of(files[0])}
    for number in range(1, MAX_BACKUPS + 1):
        if since is not None and _reaches(files[-1], since):
            break
        file = _open(path, number)
        if file is None:
            break
        stack.enter_context(file)
        inode = _inode_of(file)
        if inode not in seen:  # it was rotated between two looks
            seen.add(inode)
            files.append(file)
    return files


def _whole(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines up to the file's end; half a line waits for its other half."""
    if _size(file) < file.tell():
        file.seek(0)  # it was emptied
    while raw := file.readline():
        if not raw.endswith(b"\n"):
            file.seek(-len(raw), os.SEEK_CUR)
            return
        yield raw


def _end_of_lines(file: BinaryIO) -> int:
    """Return where the last whole line ends."""
    end = _size(file)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield the lines in front of `end`, the last one first."""
    rest: list[bytes] = []  # of a line that began earlier, the last piece first
    last = True
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        begin, *lines = file.read(end - start).split(b"\n")
        end = start
        if lines:
            whole = b"".join([lines.pop(), *reversed(rest)])
            if whole or not last:  # behind the last line end stands nothing
                yield whole
            yield from reversed(lines)
            last, rest = False, []
        rest.append(begin)
    if rest:
        yield b"".join(reversed(rest))


def _reaches(file: BinaryIO, since: datetime) -> bool:
    """Whether a file begins before `since`, so that older ones hold nothing wanted."""
    file.seek(0)
    first = next((at for at in (parsed(line).at for line in file) if at is not None), None)
    return first is not None and first < since


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _existing(directory: Path) -> Path:
    """Return the directory, or the nearest one above it that is there."""
    return next((place for place in (directory, *directory.parents) if place.is_dir()), directory.absolute())
