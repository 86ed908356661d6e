"""Daemons and commands that are forked from a process which has imported them already: a start in milliseconds.

Importing is nearly all of a start's cost, and a suite of a thousand starts pays it each time. A forked program is a
process like any other, with its own environment, descriptors and death; only what happens before `main` is shared.
Starts whose very environment is the point (see `can_fork`) are made as everywhere, and so are those of tests that
are about starting.

As a process: `python -m tests.crash.nursery FD` serves requests on that socket until it is closed.
"""

from __future__ import annotations

import array
import atexit
import fcntl
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Program = Literal[
    "clawd.daemon",
    "clawd.cli.main",
    "tests.fakes.artifact_child",
    "tests.fakes.journal_child",
    "tests.fakes.keeping_child",
]

# The interpreter and the C library read these when they begin.
_READ_AT_START: Final = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "FAKETIME", "LANG", "LC_", "NOTIFY_")
_HONOURED: Final = frozenset({"PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"})  # by the child
_LOCALE: Final = ("LC_ALL", "LC_CTYPE", "LANG")  # the first that is set decides
_GREATEST: Final = 1 << 20  # bytes of a request


def can_fork(environ: Mapping[str, str]) -> bool:
    """Whether a program with this environment may begin in an interpreter that runs already."""
    return _at_start(environ) == _at_start(os.environ)


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what an interpreter makes of its environment when it begins."""
    found = {key: value for key, value in environ.items() if key.startswith(_READ_AT_START)}
    named = {key: found.pop(key) for key in _LOCALE if key in found}
    locale = next((named[key] for key in _LOCALE if named.get(key)), "C")
    # Without a locale Python takes C.UTF-8. Source: PEP 538.
    found["locale"] = "C.UTF-8" if locale in {"C", "POSIX", "C.utf8"} else locale
    return {key: value for key, value in found.items() if key not in _HONOURED}


class Nursery:
    """The way to the process that forks; threads may share it."""

    def __init__(self) -> None:
        self._asking = threading.Lock()  # or one would read what another was answered
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def fork(
        self,
        program: Program,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        cwd: str,
        streams: tuple[int, int, int],
        *,
        terminal: bool = False,
    ) -> int:
        """Return the process id of a new program.

        Args:
            program: The module.
            arguments: Its arguments.
            environ: Its whole environment, of which `can_fork` is true.
            cwd: Its working directory.
            streams: Its standard input, output and error.
            terminal: It begins a session, and its standard input is the terminal that controls it.
        """
        request = {
            "program": program,
            "arguments": list(arguments),
            "environ": dict(environ),
            "cwd": cwd,
            "terminal": terminal,
        }
        passed = array.array("i", streams)
        with self._asking:
            self._socket.sendmsg(
                [json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)]
            )
            return int(self._socket.recv(_GREATEST))

    def reap(self, pid: int) -> int:
        """Return the exit code of a program that has ended."""
        with self._asking:
            self._socket.send(json.dumps({"reap": pid}).encode())
            return int(self._socket.recv(_GREATEST))

    def close(self) -> None:
        """End it, and what a test has left behind with it."""
        self._socket.close()
        self._process.wait()


_RUNNING: Final[list[Nursery]] = []
_MAKING: Final = threading.Lock()


def own_nursery() -> Nursery:
    """Return this worker's own, made at its first use."""
    with _MAKING:
        if not _RUNNING:
            _RUNNING.append(Nursery())
            atexit.register(_RUNNING[0].close)
        return _RUNNING[0]


# --- the process that forks -------------------------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    """Answer requests until the other side is gone; what a failed test did not end is ended then."""
    alive: set[int] = set()
    while True:
        data, passed, _, _ = socket.recv_fds(requests, _GREATEST, 3)
        if not data:
            for pid in alive:  # nobody else has their numbers, as nobody has asked for their end
                os.kill(pid, signal.SIGKILL)
            return
        request: dict[str, Any] = json.loads(data)
        if "reap" in request:
            _, status = os.waitpid(request["reap"], 0)
            alive.discard(request["reap"])
            requests.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            requests.close()
            _become(request, passed)
        alive.add(pid)
        for descriptor in passed:
            os.close(descriptor)
        requests.send(str(pid).encode())


def _become(request: dict[str, Any], passed: Sequence[int]) -> NoReturn:
    """Run the program in this fresh process, and end it as any program ends."""
    from clawd.store import faults

    for number, descriptor in enumerate(passed):  # all above the three that they become
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if request["terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    faults.arm(os.environ)
    if request["program"] == "clawd.daemon":
        _be_daemon(request["arguments"])
    if request["program"] == "clawd.cli.main":
        _be_command(request["arguments"])
    sys.argv = [request["program"], *request["arguments"]]
    runpy.run_module(request["program"], run_name="__main__", alter_sys=True)
    sys.exit(0)


def _be_daemon(arguments: Sequence[str]) -> NoReturn:
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.argv = ["clawd.daemon", *arguments]
    from clawd.daemon.serving import main

    _end(main(list(arguments)))


def _be_command(arguments: Sequence[str]) -> NoReturn:
    import gc

    from clawd.cli import main

    gc.enable()
    if not any(os.environ.get(key) for key in _LOCALE):
        os.environ["LC_CTYPE"] = "C.UTF-8"  # which the interpreter sets for its children. Source: PEP 538.
    plain = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    for number, name, errors in ((1, "stdout", "surrogateescape"), (2, "stderr", "backslashreplace")):
        lines = 1 if plain or number == 2 or os.isatty(number) else -1
        stream = os.fdopen(number, "w", encoding="utf-8", errors=errors, buffering=lines, closefd=False)
        setattr(sys, name, stream)
    sys.argv = [str(main.__file__), *arguments]
    try:
        main.main()
    except SystemExit as end:
        _end(end.code if isinstance(end.code, int) else 0)
    raise AssertionError("`main` returned")


def _end(code: int) -> NoReturn:
    """End as any program does, but leave what was imported: to take it apart would cost more than most commands."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _read_a_configuration() -> None:
    """Let pydantic build what it puts off until a configuration is read: a fifth of a daemon's start."""
    from clawd.config.loader import load_config
    from clawd.plugins import find_plugins

    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(
            "models: [{name: a, type: demo}, {name: b, type: chat, base_url: 'http://127.0.0.1/v1'}]\n"
            "bridges: {telegram: {token: '12345678:a-token-of-thirty-five-characters-x'}}\n"
            "gateway: {port: 0}\n"
        )
        load_config(path, {}, find_plugins())


def main() -> None:
    """Import what programs import, and serve."""
    import gc
    import importlib
    import pkgutil

    from clawd.late_trust import import_http

    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()  # as in clawd.daemon; forked processes share what is not looked at
    import_http()
    import clawd.cli

    commands = [module.name for module in pkgutil.walk_packages(clawd.cli.__path__, "clawd.cli.")]
    for name in ("clawd.daemon.serving", "clawd.daemon.front", "bridges.telegram.bridge", *commands):
        importlib.import_module(name)
    _read_a_configuration()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        serve(requests)


if __name__ == "__main__":
    main()
