"""How the run before this one ended: a note in the state directory, which a stop completes and a kill does not."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from clawd.alerts.base import Restart
from clawd.control.protocol import LastEnd
from clawd.observability.logging import LOG_FILE
from clawd.store.opening import FILE as DATABASE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from clawd.ids import Clock

log = logging.getLogger(__name__)

FILE: Final = "run.json"
_REMEMBERED_S: Final = 86_400.0
"""For so long restarts are remembered: no rule of the alerts looks back further."""
_MOST: Final = 100  # restarts that are remembered: more say the same


class RunNote:
    """Notes that this run goes on, and when it stopped; says of the earlier one what its note tells.

    Opened under the lock of the state directory. The note is never waited for on the disk: one that a power cut left
    empty speaks of an end without a stop too. Where it can't be written, as on a full disk, the next run knows nothing
    of this one: that it stopped must not look like a crash.

    What never came to be a run leaves the earlier note as it was: a start that failed, and one for a single terminal.

    Args:
        folder: The state directory.
        clock: Tells when this run began and ended.
        seen: When the earlier run last wrote, see `last_written`; asked before this one writes.
        counts: Whether this run is one that a later one remembers; one for a single terminal is not.
    """

    def __init__(self, folder: Path, clock: Clock, *, seen: datetime | None, counts: bool = True) -> None:
        self._path = folder / FILE
        self._clock = clock
        self._began = clock.now()
        self._counts = counts
        self._is_ready = False
        self._earlier = note = _read(self._path)
        self.last_end = _end_of(note, seen) if note is not None else None
        self._restarts = _restarts_of(note or {}, self._began)
        if self.last_end is not None and counts:
            crash = self.last_end.how == "crash"
            self._restarts.append(_Restart(self._began, _who(self.last_end) if crash else None))
            del self._restarts[:-_MOST]

    @property
    def restarts(self) -> Sequence[Restart]:
        """The starts of the last day that another run came before, the latest last."""
        now, mono = self._clock.now(), self._clock.monotonic()
        return [
            Restart(
                # A clock that was set back makes none of them lie in the future.
                at=mono - max((now - each.at).total_seconds(), 0),
                crash=each.crash is not None,
                detail=each.crash or "",
            )
            for each in self._restarts
        ]

    def __enter__(self) -> Self:
        last = self.last_end
        if last is not None and last.how == "crash":
            log.warning(
                "ended_without_stop",
                extra={"pid": last.pid, "started_at": last.started_at, "last_seen": last.at},
            )
        if self._counts:
            self._write_own(ended_at=None)
        else:
            self._leave_earlier()
        return self

    def ready(self) -> None:
        """Note that the start is over: what ends this run from now on without a stop is a crash."""
        self._is_ready = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._counts:
            return
        if error is None:
            self._write_own(ended_at=self._clock.now())
        elif not self._is_ready:
            self._leave_earlier()

    def _write_own(self, *, ended_at: datetime | None) -> None:
        self._write(
            {
                "pid": os.getpid(),
                "started_at": self._began.isoformat(),
                "ended_at": ended_at.isoformat() if ended_at else None,
                "restarts": [{"at": each.at.isoformat(), "crash": each.crash} for each in self._restarts],
            }
        )

    def _leave_earlier(self) -> None:
        """Let the next run find the note that this one found, with what its own log lines would hide of a crash."""
        if self._earlier is None:
            with suppress(OSError):
                self._path.unlink()
            return
        last = self.last_end
        seen = last.at.isoformat() if last is not None and last.how == "crash" and last.at else None
        self._write({**self._earlier, "seen_at": seen})

    def _write(self, note: Mapping[str, object]) -> None:
        new = self._path.with_name(f"{FILE}.new")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, f"{json.dumps(note)}\n".encode())
            finally:
                os.close(fd)
            new.replace(self._path)
        except OSError as error:
            log.warning("run_not_noted", extra={"path": str(self._path), "error": error.strerror})
            if note.get("ended_at") is not None:  # the note of its beginning would make a crash of this stop
                with suppress(OSError):
                    self._path.unlink()


def last_written(folder: Path) -> datetime | None:
    """Return when a daemon last wrote its log or its journal; None where there is neither."""
    times = []
    for name in (LOG_FILE, f"{DATABASE}-wal"):
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return datetime.fromtimestamp(max(times), UTC) if times else None


@dataclass(frozen=True, slots=True)
class _Restart:
    at: datetime
    crash: str | None  # what is known of a run before it that ended without a stop


def _read(path: Path) -> Mapping[str, Any] | None:
    """Return an earlier run's note, empty where it can't be read; None without one."""
    try:
        text = path.read_bytes()
    except OSError:
        return None  # the first run, or one of a version that left no note
    with suppress(ValueError):
        read = json.loads(text)
        return read if isinstance(read, dict) else {}
    return {}


def _restarts_of(note: Mapping[str, Any], now: datetime) -> list[_Restart]:
    written = note.get("restarts")
    found = []
    for each in written if isinstance(written, list) else ():
        at = _moment(each.get("at")) if isinstance(each, dict) else None
        if at is not None and at.tzinfo is not None and (now - at).total_seconds() < _REMEMBERED_S:
            crash = each.get("crash")
            found.append(_Restart(at, crash if isinstance(crash, str) else None))
    return found


def _who(last: LastEnd) -> str:
    """Return which process it was and when it was last seen, in no language: it is told in several."""
    known = (f"pid {last.pid}" if last.pid else "", f"{last.at:%Y-%m-%d %H:%M:%S} UTC" if last.at else "")
    return ", ".join(part for part in known if part)


def _end_of(note: Mapping[str, Any], seen: datetime | None) -> LastEnd:
    pid = note.get("pid")
    ended = _moment(note.get("ended_at"))
    return LastEnd(
        how="crash" if ended is None else "clean",
        at=ended or _moment(note.get("seen_at")) or seen,
        pid=pid if isinstance(pid, int) else 0,
        started_at=_moment(note.get("started_at")),
    )


def _moment(value: object) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    return None
