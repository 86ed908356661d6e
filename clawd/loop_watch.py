"""Tells, while the event loop is blocked, what blocks it."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from clawd.ids import parse_turn_id
from clawd.loop_lag import LONG_S
from clawd.observability.about import task_about

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from clawd.loop_lag import RoundSelector

log = logging.getLogger(__name__)

STACKS_FILE: Final = "stacks.txt"
SUSPENDED: Final = "suspended?"
AGAIN: Final = 10
"""A block that lasts so many looks is told once more: it may have moved on."""

_FRAMES: Final = 60  # of a stack, the innermost ones
_SHORTEST: Final = 0.05  # of the time between two looks
_MOST: Final = 65_536  # bytes of written stacks
_BUSY: Final = 0.5  # the share of its time from which on a thread counts as computing
_APART_S: Final = 0.05  # between a dump and the look that finds it, where the process ran in between


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the watching thread knows when it looks. Times are in seconds."""

    late_s: float  # that it looks later than it meant to: nothing of Python ran, itself included
    cpu_s: float  # what the loop's thread computed since the look before
    since_s: float  # since the look before
    dumped_ago_s: float | None  # since the stacks were written without Python's help; None: they were not


def why(look: Look, look_s: float) -> str:
    """Return what the loop's thread does, as far as clocks tell. Pure.

    A thread that looks in time sees the others run or wait. One that comes late had no interpreter: native code
    held it, and the stacks were written meanwhile; or the whole process stood still, and with it the timer that
    writes them, which then is as late as the look.
    """
    if look.late_s < look_s:
        return "computes" if look.cpu_s > _BUSY * look.since_s else "waits"
    if look.dumped_ago_s is not None and look.dumped_ago_s > _APART_S:
        return "native code holds the interpreter"
    return "computes" if look.cpu_s > _BUSY * look.late_s else SUSPENDED


class LoopWatch:
    """A thread that looks once a second while the loop works, and sleeps without a time-out while it does not.

    A round that takes longer than `look_s` becomes one event `loop_blocked`, with the stack of the loop's thread,
    another after `AGAIN` times as long, and `loop_came_back` when it is over. Where native code keeps Python from
    running, this thread as well, a timer of `faulthandler` writes the stacks into a file; they are logged as soon
    as Python runs again, or by the next process.

    Args:
        selector: The loop's own.
        folder: Where the file goes.
        look_s: The time between two looks; also how long a round may take.
    """

    def __init__(self, selector: RoundSelector, folder: Path, *, look_s: float = LONG_S) -> None:
        self._selector = selector
        self._stacks = _Stacks(folder / STACKS_FILE)
        self._look_s = look_s
        self._turnstile = threading.Lock()  # shut but for the moment in which somebody wakes the thread
        self._turnstile.acquire()
        self._closing = False
        self._told = 0.0  # the last round that was told, by its beginning
        self._again = False  # it was told once more
        self._open = False  # its end was not told yet
        self._task: Mapping[str, object] = {}  # what is told of the one that ran
        self._thread = threading.Thread(target=self._run, name="loop-watch", daemon=True)

    def __enter__(self) -> Self:
        """Watch the running loop, which is to wait by that selector."""
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._clock = _cpu_clock(self._ident)
        if left := self._stacks.open():
            log.warning("loop_was_blocked", extra={"stacks": left})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake()
        self._thread.join()
        self._stacks.close()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # it is open already
            self._turnstile.release()

    def _run(self) -> None:
        while not self._closing:
            if self._asleep():
                self._turnstile.acquire()
            if not self._closing:
                self._watch()

    def _asleep(self) -> bool:
        """Whether the loop is idle and will wake us; a round that begins meanwhile is seen here."""
        seen = self._selector.waited
        self._selector.wake = self._wake
        if self._selector.began or self._selector.waited != seen:
            self._selector.wake = None
            return False
        return True

    def _watch(self) -> None:
        """Look until a whole pause went by without a round."""
        selector = self._selector
        cpu_s, at = time.clock_gettime(self._clock), time.monotonic()
        while True:
            seen = selector.waited
            began = selector.began
            due_s = began + self._look_s - at if began else self._look_s
            pause_s = min(max(due_s, _SHORTEST * self._look_s), self._look_s)
            self._stacks.arm(pause_s + self._look_s)
            self._turnstile.acquire(timeout=pause_s)
            self._stacks.disarm()
            if self._closing:
                return
            before_s, before = cpu_s, at
            cpu_s, at = time.clock_gettime(self._clock), time.monotonic()
            stacks, dumped_ago_s = self._stacks.take()
            look = Look(
                late_s=at - before - pause_s,
                cpu_s=cpu_s - before_s,
                since_s=at - before,
                dumped_ago_s=dumped_ago_s,
            )
            self._judge(look, at, stacks)
            if not selector.began and selector.waited == seen:
                return

    def _judge(self, look: Look, at: float, stacks: str) -> None:
        """Tell what is new about the round under way, and about the last long one."""
        began, last = self._selector.began, self._selector.long
        if self._open and began != self._told:
            took_s = last.took_s if last is not None and last.began == self._told else at - self._told
            self._came_back(took_s)
        if began and at - began >= self._look_s:
            for_s = at - began
            if began != self._told or (not self._again and for_s >= AGAIN * self._look_s):
                self._again = began == self._told
                self._tell(began, for_s, look, stacks or self._stack())
                self._open = True
        elif last is not None and last.began > self._told:  # it was over before anybody could look
            self._tell(last.began, last.took_s, look, stacks)
            self._came_back(last.took_s)

    def _tell(self, began: float, for_s: float, look: Look, stacks: str) -> None:
        reason = why(look, self._look_s)
        task = asyncio.current_task(self._loop) if self._selector.began == began else None
        self._told, self._task = began, _names(task) if task is not None else {}
        extra = {
            **self._task,
            "for_s": round(for_s, 3),
            "why": reason,
            "cpu_s": round(look.cpu_s, 3),
            "stack": "" if reason == SUSPENDED else stacks,
        }
        log.error("loop_blocked", extra=extra)

    def _came_back(self, after_s: float) -> None:
        self._open = False
        log.warning("loop_came_back", extra={**self._task, "after_s": round(after_s, 3)})

    def _stack(self) -> str:
        """Return where the loop's thread is, the innermost call last; no values of variables."""
        frame = sys._current_frames().get(self._ident)  # noqa: SLF001 - public, and named so as it is rarely right
        lines: list[str] = []
        while frame is not None and len(lines) < _FRAMES:
            lines.append(
                f'File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_qualname}'
            )
            frame = frame.f_back
        return "\n".join(reversed(lines))


def _names(task: asyncio.Task[object]) -> Mapping[str, object]:
    """Return what a task is about; those that work for a turn bear its id as their name."""
    name = task.get_name()
    turn = {"turn": name} if parse_turn_id(name) else {}
    return {**task_about(task), **turn, "task": name}


class _Stacks:
    """The file into which a timer writes all stacks, unless it is stopped in time. Without it nothing is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def open(self) -> str:
        """Return what an earlier process left."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(self._path, flags, 0o600)
        except OSError as error:
            log.warning("no_stacks_file", extra={"path": str(self._path), "error": error.strerror})
        return self.take()[0]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            with suppress(OSError):
                self._path.unlink()
        self._fd = -1

    def arm(self, after_s: float) -> None:
        """Write then, whatever holds the interpreter."""
        if self._fd >= 0:
            with suppress(RuntimeError):  # no thread is to be had
                faulthandler.dump_traceback_later(after_s, file=self._fd)

    def disarm(self) -> None:
        """Do not."""
        faulthandler.cancel_dump_traceback_later()

    def take(self) -> tuple[str, float | None]:
        """Return what was written, and how long ago; the file is empty then."""
        with suppress(OSError):
            if self._fd >= 0 and (status := os.fstat(self._fd)).st_size:
                ago_s = time.time() - status.st_mtime  # the file system's clock is the wall clock
                text = os.pread(self._fd, _MOST, 0).decode(errors="replace")
                os.ftruncate(self._fd, 0)
                return _first_thread_first(text), ago_s
        return "", None


def _first_thread_first(text: str) -> str:
    """Put the process's first thread, the loop's, in front; `faulthandler` writes it last."""
    *others, first = text.strip().split("\n\n")
    return "\n\n".join((first, *others))


def _cpu_clock(ident: int) -> int:
    """Return the clock of what a thread computes; where there is none, the process's."""
    if hasattr(time, "pthread_getcpuclockid"):
        return time.pthread_getcpuclockid(ident)
    return time.CLOCK_PROCESS_CPUTIME_ID
