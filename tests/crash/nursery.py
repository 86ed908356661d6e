"""Daemons that are forked from a process which has imported them already: a start in milliseconds.

Importing is nearly all of a start's cost, and a suite of some hundred starts pays it each time. A forked daemon is a
process like any other, with its own environment, descriptors and death; only what happens before `main` is shared.
Starts whose very environment is the point (see `can_fork`) are made as everywhere, and so are those of tests that
are about starting.

As a process: `python -m tests.crash.nursery FD` serves requests on that socket until it is closed.
"""

from __future__ import annotations

import array
import asyncio
import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The interpreter and the C library read these when they begin.
_READ_AT_START: Final = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "FAKETIME", "TZ", "LANG", "LC_", "NOTIFY_")
_GREATEST: Final = 1 << 20  # bytes of a request


def can_fork(environ: Mapping[str, str]) -> bool:
    """Whether a daemon with this environment may begin in an interpreter that runs already."""
    names = {name for name in {*environ, *os.environ} if name.startswith(_READ_AT_START)} - {"PYTHONPATH"}
    return all(environ.get(name) == os.environ.get(name) for name in names)


class Forked:
    """A forked daemon; as far as tests use it, an `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, nursery: _Nursery) -> None:
        self.pid = pid
        self.stdout = stdout
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


async def fork_daemon(environ: Mapping[str, str], cwd: Path, stderr: int) -> Forked:
    """Begin a daemon, as `python -m clawd.daemon` would, with nothing on its standard input."""
    nursery = await asyncio.to_thread(_nursery)
    ours, theirs = os.pipe()
    try:
        pid = await asyncio.to_thread(nursery.fork, environ, str(cwd), theirs, stderr)
    finally:
        os.close(theirs)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
    )
    return Forked(pid, reader, nursery)


class _Nursery:
    """The way to the process that forks."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def fork(self, environ: Mapping[str, str], cwd: str, stdout: int, stderr: int) -> int:
        """Return the new daemon's process id."""
        request = json.dumps({"environ": dict(environ), "cwd": cwd}).encode()
        passed = array.array("i", [stdout, stderr])
        self._socket.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
        return int(self._socket.recv(_GREATEST))

    def reap(self, pid: int) -> int:
        """Return the exit code of a daemon that has ended."""
        self._socket.send(json.dumps({"reap": pid}).encode())
        return int(self._socket.recv(_GREATEST))

    def close(self) -> None:
        """End it; daemons that live go on."""
        self._socket.close()
        self._process.wait()


_RUNNING: Final[list[_Nursery]] = []


def _nursery() -> _Nursery:
    """Return this worker's own, made at its first use."""
    if not _RUNNING:
        _RUNNING.append(_Nursery())
        atexit.register(_RUNNING[0].close)
    return _RUNNING[0]


# --- the process that forks -------------------------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    """Answer requests until the other side is gone."""
    null = os.open(os.devnull, os.O_RDONLY)
    while True:
        data, passed, _, _ = socket.recv_fds(requests, _GREATEST, 2)
        if not data:
            return
        request: dict[str, Any] = json.loads(data)
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            requests.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            requests.close()
            _become_daemon(request, (null, *passed))
        for descriptor in passed:
            os.close(descriptor)
        requests.send(str(pid).encode())


def _become_daemon(request: dict[str, Any], streams: tuple[int, ...]) -> NoReturn:
    """Run the daemon in this fresh process, and end it as any program ends."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["environ"])
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    os.chdir(request["cwd"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["clawd.daemon"]
    from clawd.daemon.serving import main
    from clawd.store import faults

    faults.arm(os.environ)
    sys.exit(main([]))


def main() -> None:
    """Import what daemons import, and serve."""
    import gc
    import importlib

    from clawd.late_trust import import_http

    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()  # as in clawd.daemon; forked processes share what is not looked at
    import_http()
    for name in ("clawd.daemon.serving", "bridges.telegram.bridge"):
        importlib.import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        serve(requests)


if __name__ == "__main__":
    main()
