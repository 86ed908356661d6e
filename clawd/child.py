"""The one launcher of child processes: none outlives the daemon, however that ends.

Each child leads a session and process group of its own. Beside it, in the same group, waits a tiny
watcher that holds the read end of a pipe whose only write end is ours: when we die, also by SIGKILL,
the kernel closes it and the watcher kills the group. The child needs to know nothing of this.
(PR_SET_PDEATHSIG would follow the thread that started the child, and kill when that thread ends.)

A grandchild that makes itself a new session escapes the group; what carries `CLAWD_TURN` is ended by
`end_leftovers`, after the call that it belongs to and at the next start.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.ids import TurnId

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

__all__ = [
    "DEVNULL",
    "PIPE",
    "TURN_VARIABLE",
    "Child",
    "Leftover",
    "end_leftovers",
    "launch",
    "leftovers",
    "start",
]

TURN_VARIABLE: Final = "CLAWD_TURN"

# The watcher is a grandchild, so that a program that waits for all its children does not wait for it.
# $0 is the pipe's number; "$@" replaces the shell, so the group's leader is the program itself.
_LAUNCHER: Final = '( ( exec >/dev/null 2>&1 </dev/null; read -r _ <"/dev/fd/$0"; kill -9 0 ) & ); exec "$@"'
_END_S: Final = 2.0
_REAP_S: Final = 5.0  # a killed process is gone within milliseconds unless it hangs in the kernel
_STREAM_LIMIT: Final = 256 * 1024  # bytes of one line


class _Protocol(SubprocessStreamProtocol):
    """Tells the child's own end: asyncio's `wait` also waits for whoever else holds its pipes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_STREAM_LIMIT, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class Child:
    """A running child process with its group. `launch` makes it; `kill` must be awaited in the end."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol, lifeline: int) -> None:
        self._process = Process(transport, protocol, asyncio.get_running_loop())
        self._exited = protocol.exited
        self._transport = transport
        self._lifeline = lifeline

    @property
    def pid(self) -> int:
        """The child's process id, which is its group's id too."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """Where the child reads, when asked for with PIPE."""
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """What the child writes, when asked for with PIPE."""
        return self._process.stdout

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """What the child writes as errors, when asked for with PIPE."""
        return self._process.stderr

    async def wait(self) -> int:
        """Return the exit status once the child itself has ended."""
        await self._exited.wait()
        return self._process.returncode or 0

    async def kill(self) -> None:
        """Kill the whole group and return once the child is reaped; harmless when it has ended.

        Nothing of the group is alive afterwards. A process that the kernel does not let die is left
        behind after 5 s.
        """
        if self._lifeline < 0:
            return
        lifeline, self._lifeline = self._lifeline, -1
        try:
            # The watcher keeps the group's number from being given to somebody else.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(_REAP_S):
                    await self._exited.wait()
        finally:
            os.close(lifeline)
            self._transport.close()


async def launch(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    turn: TurnId | None = None,
    cwd: Path | None = None,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
) -> Child:
    """Start a program and return it; prefer `start`, which also ends it.

    Args:
        argv: Program and arguments; nothing in them is read by a shell.
        environ: The child's whole environment.
        turn: For whom it runs; lets a later daemon find what was left behind.
        cwd: Working directory, ours when None.
        stdin: DEVNULL, PIPE or a file descriptor.
        stdout: As `stdin`; who asks for PIPE must read it, or a full pipe stops the child.
        stderr: As `stdout`.

    Raises:
        OSError: the system could not start a process. A program that does not exist is no such error:
            the child ends with status 127 (not found) or 126 (not executable).
    """
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()
    try:
        transport, protocol = await loop.subprocess_exec(
            lambda: _Protocol(loop),
            "/bin/sh",
            "-c",
            _LAUNCHER,
            str(read_end),
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**environ, TURN_VARIABLE: turn} if turn else dict(environ),
            cwd=cwd,
            pass_fds=(read_end,),
            start_new_session=True,
        )
    except BaseException:
        os.close(write_end)  # whatever was started goes with it
        raise
    finally:
        os.close(read_end)
    return Child(transport, protocol, write_end)


@asynccontextmanager
async def start(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    turn: TurnId | None = None,
    cwd: Path | None = None,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
) -> AsyncGenerator[Child, None]:
    """Run a program for the length of the `with` block; its group is dead at the end. As `launch`."""
    child = await launch(argv, environ=environ, turn=turn, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
    try:
        yield child
    finally:
        await child.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A process that an earlier daemon started for a turn and that still runs."""

    pid: int
    turn: TurnId


def leftovers(
    belongs: Callable[[TurnId], bool] = lambda _turn: True, proc: Path = Path("/proc")
) -> list[Leftover]:
    """Return own processes, but for this one, that carry a `CLAWD_TURN` that `belongs`.

    Empty where there is no /proc. It reads the files of every own process: call it in a thread.
    """
    own_uid, own_pid = os.getuid(), os.getpid()
    found: list[Leftover] = []
    try:
        with os.scandir(proc) as entries:
            pids = [int(entry.name) for entry in entries if entry.name.isdecimal()]
    except OSError:
        return []
    for pid in pids:
        if pid == own_pid:
            continue
        try:
            if (proc / str(pid)).stat().st_uid != own_uid:
                continue
        except OSError:  # ended meanwhile
            continue
        found += [Leftover(pid=pid, turn=turn) for turn in _turns(pid, proc) if belongs(turn)]
    return sorted(found, key=lambda leftover: leftover.pid)


def end_leftovers(belongs: Callable[[TurnId], bool]) -> list[Leftover]:
    """Kill the processes that `leftovers` finds and what they start meanwhile; return them once they are gone.

    Blocks, for milliseconds as a rule: call it in a thread. What the kernel does not let die within two
    seconds is left behind.
    """
    ended: list[Leftover] = []
    until = time.monotonic() + _END_S
    while (found := leftovers(belongs)) and time.monotonic() < until:
        held = [(left, fd) for left in found if (fd := _hold(left, belongs)) is not None]
        try:
            for left, fd in held:
                with suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    ended.append(left)
            for _left, fd in held:
                gone = select.poll()  # not select.select: a busy daemon's descriptors have numbers above 1023
                gone.register(fd, select.POLLIN)
                gone.poll(max(0.0, until - time.monotonic()) * 1000)
        finally:
            for _left, fd in held:
                os.close(fd)
    return list(dict.fromkeys(ended))


def _hold(left: Leftover, belongs: Callable[[TurnId], bool]) -> int | None:
    """Return a descriptor of the process itself: its number may be somebody else's by now."""
    try:
        fd = os.pidfd_open(left.pid)
    except OSError:
        return None
    if any(belongs(turn) for turn in _turns(left.pid)):
        return fd
    os.close(fd)
    return None


def _turns(pid: int, proc: Path = Path("/proc")) -> list[TurnId]:
    """Return what a process carries as `CLAWD_TURN`; a zombie carries nothing."""
    mark = f"{TURN_VARIABLE}=".encode()
    try:
        environ = (proc / str(pid) / "environ").read_bytes()
    except OSError:  # ended meanwhile, or hides its environment
        return []
    if mark not in environ:
        return []
    entries = environ.split(b"\0")
    return [TurnId(e.removeprefix(mark).decode("utf-8", "replace")) for e in entries if e.startswith(mark)]
