"""Lines of the daemon's rotated log file: the last ones, and those that come."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from clawd.cli.watching import DirectoryWatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from clawd.response import JsonObject

_RANKS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}
MAX_BACKUPS = 100


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line; `data` is None for what is no log event, such as a crash's last words."""

    raw: str
    data: JsonObject | None

    @property
    def at(self) -> datetime | None:
        """When it was logged, None when it does not say."""
        try:
            return datetime.fromisoformat(str(self.data["ts"])) if self.data else None
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which lines are wanted: from `level` up, and not before `since` (None: from the beginning)."""

    level: str = "debug"
    since: datetime | None = None

    def wants(self, line: LogLine) -> bool:
        """Whether to show the line; what is no log event belongs to its neighbours and is shown."""
        if line.data is None:
            return self.since is None
        if _RANKS.get(str(line.data.get("level")), 4) < _RANKS[self.level]:
            return False
        return self.since is None or line.at is None or line.at >= self.since


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log file was read; the inode tells a rotated file from its successor."""

    inode: int
    offset: int


def parsed(raw: bytes) -> LogLine:
    """Return one line of the file, whatever it holds."""
    text = raw.decode(errors="replace").rstrip("\r\n")
    try:
        data = json.loads(text)
    except ValueError:
        return LogLine(text, None)
    return LogLine(text, data if isinstance(data, dict) else None)


def last_lines(path: Path, wanted: LogFilter, count: int | None) -> tuple[Position, Iterable[LogLine]]:
    """Return how far the file was read, and its last `count` wanted lines, the oldest first.

    Rotated files (`PATH.1`, older ones with greater numbers) are read as far back as needed.
    """
    chunks: list[deque[LogLine]] = []
    missing = count
    position, lines = _read(path)
    for number in range(MAX_BACKUPS + 1):
        if number:
            older = path.with_name(f"{path.name}.{number}")
            if not older.exists():
                break
            _, lines = _read(older)
        chunk = deque((line for line in map(parsed, lines) if wanted.wants(line)), maxlen=missing)
        chunks.append(chunk)
        if missing is not None:
            missing -= len(chunk)
        if missing == 0 or _reaches(lines, wanted.since):
            break
    return position, (line for chunk in reversed(chunks) for line in chunk)


def new_lines(path: Path, position: Position, wanted: LogFilter) -> Iterator[LogLine]:
    """Yield wanted lines as they are written, over rotations, until the caller has enough."""
    with DirectoryWatch(path.parent) as watch:
        file = path.open("rb")
        try:
            if os.fstat(file.fileno()).st_ino == position.inode:
                file.seek(position.offset)
            while True:
                yield from _ready(file, wanted)
                if _replaced(path, file):
                    yield from _ready(file, wanted)  # what came between the last look and the rotation
                    file.close()
                    file = path.open("rb")
                else:
                    watch.wait()
        finally:
            file.close()


def _ready(file: BinaryIO, wanted: LogFilter) -> Iterator[LogLine]:
    """Yield whole lines up to the file's end; half a line waits for its other half."""
    while raw := file.readline():
        if not raw.endswith(b"\n"):
            file.seek(-len(raw), os.SEEK_CUR)
            return
        line = parsed(raw)
        if wanted.wants(line):
            yield line


def _read(path: Path) -> tuple[Position, list[bytes]]:
    with path.open("rb") as file:
        lines = file.readlines()
        end = file.tell()
        if lines and not lines[-1].endswith(b"\n"):
            end -= len(lines.pop())
        return Position(os.fstat(file.fileno()).st_ino, end), lines


def _reaches(lines: list[bytes], since: datetime | None) -> bool:
    """Whether a file begins before `since`, so that older ones hold nothing wanted."""
    if since is None:
        return False
    first = next((at for at in (parsed(line).at for line in lines) if at is not None), None)
    return first is not None and first < since


def _replaced(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False  # between two steps of a rotation
