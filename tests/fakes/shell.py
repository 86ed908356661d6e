"""The command line, run as a person would: a process with an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.crash.nursery import can_fork
from tests.fakes.forked import CLAWD, ForkedProgram, fork_command

if TYPE_CHECKING:
    from pathlib import Path


def socket_of(home: Path) -> Path:
    """Return where the daemon of this home listens; its directory exists."""
    (home / "state").mkdir(exist_ok=True)
    return home / "state" / "clawd.sock"


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)


class Shell:
    """Runs `clawd` in an environment of its own."""

    def __init__(self, home: Path) -> None:
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLAWD_HOME": str(home),
        }

    async def start(self, *args: str, **environ: str) -> asyncio.subprocess.Process:
        """Begin a Python of its own."""
        return await asyncio.create_subprocess_exec(
            *CLAWD,
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environ, **environ},
        )

    async def __call__(self, *args: str, stdin: str = "", **environ: str) -> Result:
        env = {**self.environ, **environ}
        process = await (fork_command(args, env) if can_fork(env) else self.start(*args, **environ))
        out, err = await process.communicate(stdin.encode())
        return Result(await process.wait(), out.decode(), err.decode())


def at_terminal(shell: Shell, *args: str, typed: str = "", results_to: Path | None = None) -> tuple[int, str]:
    """Run `clawd` on a pseudo-terminal; return its exit code and all that the screen was sent.

    Args:
        shell: Whose environment it runs in.
        args: Its arguments.
        typed: What a person types.
        results_to: A file that standard output goes to instead of the terminal.
    """
    ours, theirs = pty.openpty()
    results = theirs if results_to is None else os.open(results_to, os.O_WRONLY | os.O_CREAT, 0o600)
    environ = {**shell.environ, "TERM": "xterm"}
    process = ForkedProgram("clawd.cli.main", args, environ, (theirs, results, theirs), terminal=True)
    for descriptor in {results, theirs}:
        os.close(descriptor)
    os.write(ours, typed.encode())
    shown = bytearray()
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:
        pass  # Linux says EIO once the last process has closed its side
    finally:
        os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")
