"""Programs that a nursery forks, as tests hold them: with asyncio, or without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.crash.nursery import Nursery, Program, can_fork, own_nursery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLAWD: Final = (sys.executable, "-m", "clawd.cli.main")


class Forked:
    """A forked program; as far as tests use it, an `asyncio.subprocess.Process`."""

    def __init__(
        self,
        pid: int,
        nursery: Nursery,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader | None = None,
        stdin: asyncio.StreamWriter | None = None,
    ) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._nursery = nursery
        self._gone = asyncio.Event()
        self._end = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._end, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        os.close(self._end)
        self.returncode = self._nursery.reap(self.pid)
        self._gone.set()

    async def wait(self) -> int:
        """Return the exit code once it is gone; of one that a signal ended, its negative number."""
        await self._gone.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self, data: bytes = b"") -> tuple[bytes, bytes]:
        """Write all this to its standard input; return what it wrote once it is gone."""
        async with asyncio.TaskGroup() as tasks:
            if self.stdin is not None:
                tasks.create_task(self._write(data))
            out = tasks.create_task(self.stdout.read())
            err = tasks.create_task(self.stderr.read()) if self.stderr is not None else None
        await self.wait()
        return out.result(), err.result() if err is not None else b""

    async def _write(self, data: bytes) -> None:
        assert self.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it needs no more than it has read
            self.stdin.write(data)
            await self.stdin.drain()
        self.stdin.close()

    def send_signal(self, number: int) -> None:
        """Send a signal; to one that is gone, none."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def fork_daemon(environ: Mapping[str, str], cwd: Path, stderr: int) -> Forked:
    """Begin a daemon, as `python -m clawd.daemon` would, with nothing on its standard input."""
    return await _fork("clawd.daemon", (), environ, cwd, stderr)


async def fork_child(program: Program, *arguments: str, **environ: str) -> Forked:
    """Begin one of the programs that tests kill, in the tests' environment and these variables."""
    return await _fork(program, arguments, {**os.environ, **environ}, Path.cwd(), 2)


async def _fork(
    program: Program, arguments: Sequence[str], environ: Mapping[str, str], cwd: Path, stderr: int
) -> Forked:
    nursery = await asyncio.to_thread(own_nursery)
    ours, theirs = os.pipe()
    try:
        with Path(os.devnull).open("rb") as nothing:
            streams = (nothing.fileno(), theirs, stderr)
            pid = await asyncio.to_thread(nursery.fork, program, arguments, environ, str(cwd), streams)
    finally:
        os.close(theirs)
    return Forked(pid, nursery, await _reader(ours))


async def fork_command(arguments: Sequence[str], environ: Mapping[str, str]) -> Forked:
    """Begin `clawd` with these arguments, each of its streams a pipe."""
    nursery = await asyncio.to_thread(own_nursery)
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    typed, typed_end = socket.socketpair()  # as asyncio makes it: a writer knows when the other side is gone
    try:
        streams = (typed_end.fileno(), out_end, err_end)
        pid = await asyncio.to_thread(
            nursery.fork, "clawd.cli.main", arguments, environ, str(Path.cwd()), streams
        )
    finally:
        typed_end.close()
        os.close(out_end)
        os.close(err_end)
    _, stdin = await asyncio.open_connection(sock=typed)
    return Forked(pid, nursery, await _reader(out), await _reader(err), stdin)


class ForkedProgram:
    """A program, forked for tests without a loop; as far as they use it, a `subprocess.Popen`."""

    def __init__(
        self,
        program: Program,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        streams: tuple[int, int, int],
        *,
        cwd: Path | None = None,
        terminal: bool = False,
    ) -> None:
        """Begin it with these streams; with `terminal` in a session that its standard input controls."""
        self.args = [sys.executable, "-m", program, *arguments]
        self.returncode: int | None = None
        self._nursery = own_nursery()
        self.pid = self._nursery.fork(
            program, arguments, environ, str(cwd or Path.cwd()), streams, terminal=terminal
        )
        self._end = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Return the exit code of a process that is gone, else None."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it is gone, at most so many seconds from now."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            os.close(self._end)
            self.returncode = self._nursery.reap(self.pid)
        return self.returncode

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, sig: int) -> None:
        """Send a signal; to one that is gone, none."""
        if self.poll() is None:
            os.kill(self.pid, sig)


def run_clawd(
    *arguments: str, env: Mapping[str, str], stdin: str | bytes = "", timeout_s: float = 50
) -> subprocess.CompletedProcess[str]:
    """Run `clawd` with this on its standard input, a pipe; return what it wrote and its exit code."""
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    if not can_fork(env):
        done = subprocess.run(
            [*CLAWD, *arguments], input=data, env=env, capture_output=True, timeout=timeout_s
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
    (typed_end, typed), (out, out_end), (err, err_end) = os.pipe(), os.pipe(), os.pipe()
    try:
        process = ForkedProgram("clawd.cli.main", arguments, env, (typed_end, out_end, err_end))
    finally:
        for descriptor in (typed_end, out_end, err_end):
            os.close(descriptor)
    with ThreadPoolExecutor(3) as threads:
        threads.submit(_write, typed, data)
        texts = [threads.submit(_read, descriptor) for descriptor in (out, err)]
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    return subprocess.CompletedProcess(process.args, code, *(text.result() for text in texts))


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:  # it may need no more
        pipe.write(data)


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read().decode()
