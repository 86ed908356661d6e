"""Tells, while the event loop is blocked, what blocks it."""

from __future__ import annotations

import asyncio
import logging
import resource
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
    from types import TracebackType

    from clawd.loop_lag import RoundSelector

log = logging.getLogger(__name__)

_WHO: Final = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)  # Linux counts each thread's
SUSPENDED: Final = "suspended?"
AGAIN: Final = 10
"""A block that lasts so many looks is told once more: it may have moved on."""

_FRAMES: Final = 60  # of a stack, the innermost ones
_SHORTEST: Final = 0.05  # of the time between two looks
_AWAKE: Final = 20  # times a second, from which on a thread has been waiting for the interpreter
_BUSY: Final = 0.5  # the share of its time from which on a thread counts as computing


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the watching thread knows when it looks. Times are in seconds."""

    late_s: float  # that it looks later than it meant to: nothing of Python ran, itself included
    switches: int  # since the look before: how often it went to sleep
    cpu_s: float  # what the loop's thread computed since then
    since_s: float


def why(look: Look, look_s: float) -> str:
    """Return what the loop's thread does, as far as clocks tell. Pure.

    A thread that looks in time sees the others run or wait. One that comes late had no interpreter: native code
    held it, and who waits for that goes to sleep and wakes up 200 times a second (`sys.getswitchinterval`); or the
    whole process stood still, and nothing in it woke up.
    """
    if look.late_s >= look_s and look.switches >= _AWAKE * look.late_s:
        return "native code holds the interpreter"
    if look.cpu_s > _BUSY * look.since_s:
        return "computes"
    return SUSPENDED if look.late_s >= look_s else "waits"


class LoopWatch:
    """A thread that looks once a second while the loop works, and sleeps without a time-out while it does not.

    A round that takes longer than `look_s` becomes one event `loop_blocked`, with the stack of the loop's thread,
    another after `AGAIN` times as long, and `loop_came_back` when it is over. While native code holds the
    interpreter this thread can't look; it comes next when that lets go, and finds the loop's thread where it called.

    `faulthandler.dump_traceback_later` would need no interpreter, but reads frames that may be running: after a stop
    of the whole process, or on a machine that starves it, one in some thousand of its dumps kills the process.

    Args:
        selector: The loop's own.
        look_s: The time between two looks; also how long a round may take.
    """

    def __init__(self, selector: RoundSelector, *, look_s: float = LONG_S) -> None:
        self._selector = selector
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread."""
        self._closing = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join()

    def start(self) -> None:
        """Watch the running loop, which is to wait by that selector, from its next round on."""
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._clock = _cpu_clock(self._ident)
        self._told, self._again = self._selector.began, True
        self._thread.start()

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
        cpu_s, at, switches = time.clock_gettime(self._clock), time.monotonic(), _switches()
        while True:
            seen = selector.waited
            began = selector.began
            due_s = began + self._look_s - at if began not in (0.0, self._told) else self._look_s
            pause_s = min(max(due_s, _SHORTEST * self._look_s), self._look_s)
            self._turnstile.acquire(timeout=pause_s)
            if self._closing:
                return
            before = cpu_s, at, switches
            cpu_s, at, switches = time.clock_gettime(self._clock), time.monotonic(), _switches()
            look = Look(
                late_s=at - before[1] - pause_s,
                switches=switches - before[2],
                cpu_s=cpu_s - before[0],
                since_s=at - before[1],
            )
            self._judge(look, at)
            if not selector.began and selector.waited == seen:
                return

    def _judge(self, look: Look, at: float) -> None:
        """Tell what is new about the round under way, and about the last long one."""
        began, last = self._selector.began, self._selector.long
        if self._open and began != self._told:
            took_s = last.took_s if last is not None and last.began == self._told else at - self._told
            self._came_back(took_s)
        if began and at - began >= self._look_s:
            for_s = at - began
            if began != self._told or (not self._again and for_s >= AGAIN * self._look_s):
                self._again = began == self._told
                self._tell(began, for_s, look)
                self._open = True
        elif last is not None and last.began > self._told:  # it was over before anybody could look
            self._tell(last.began, last.took_s, look)
            self._came_back(last.took_s)

    def _tell(self, began: float, for_s: float, look: Look) -> None:
        reason = why(look, self._look_s)
        here = self._selector.began == began  # the round is not over: where it is, is who blocks
        task = asyncio.current_task(self._loop) if here else None
        self._told, self._task = began, _names(task) if task is not None else {}
        extra = {
            **self._task,
            "for_s": round(for_s, 3),
            "why": reason,
            "cpu_s": round(look.cpu_s, 3),
            "stack": self._stack() if here and reason != SUSPENDED else "",
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


def _switches() -> int:
    """Return how often this thread has gone to sleep, in waiting for the interpreter too."""
    return resource.getrusage(_WHO).ru_nvcsw


def _cpu_clock(ident: int) -> int:
    """Return the clock of what a thread computes; where there is none, the process's."""
    if hasattr(time, "pthread_getcpuclockid"):
        return time.pthread_getcpuclockid(ident)
    return time.CLOCK_PROCESS_CPUTIME_ID
