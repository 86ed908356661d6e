"""`clawd start`: becomes the daemon, or puts one into the background and waits until it is ready."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import clean, emit, one_line, out, say
from clawd.client import Client
from clawd.errors import EXIT_FAILED, EXIT_TRY_LATER, ClawdError, ControlError
from clawd.paths import config_path, configured_state_dir, own_call, socket_path, state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

app = command_app()

LOG_NAME = "clawd.log"
_LOOK_S = 0.05
_WORDS = 4000
"""Bytes of a failed daemon's last words that are shown."""


class StartFailed(ClawdError):
    """The daemon ended before it was ready; the exit code is its own."""

    code = "E-START"

    def __init__(self, log: Path, code: int) -> None:
        why = f"exit code {code}" if code >= 0 else f"ended by signal {-code}"
        super().__init__("the daemon ended while it started", where=str(log), why=why, remedy="clawd doctor")
        self.exit_code = code if code > 0 else EXIT_FAILED


class NotReady(ClawdError):
    """The daemon runs and is not ready yet."""

    code = "E-NOT-READY"
    exit_code = EXIT_TRY_LATER


@dataclass(frozen=True, slots=True)
class _Places:
    config: Path | None
    socket: Path
    log: Path

    def command(self) -> list[str]:
        """Return what runs the daemon: Typer and its kind never enter that process."""
        command = [sys.executable, "-m", "clawd.daemon"]
        return command if self.config is None else [*command, "--config", str(self.config)]

    def own_call(self, environ: Mapping[str, str]) -> str:
        """Return how a person here calls the commands for this daemon."""
        config = str(self.config) if self.config else None
        return own_call(config, Path(sys.executable).with_name("clawd"), environ)


@app.command()
def start(
    ctx: typer.Context,
    config: Annotated[str | None, typer.Option(metavar="PATH", help="The configuration file.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background; return once it is ready.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="With --detach: seconds to wait for ready.")] = 60,
    as_json: Json = False,
) -> None:
    """Start the daemon, here or in the background."""
    call = invocation(ctx)
    call.local_only("clawd start")
    places = _places(config or call.config, call.environ)
    if detach:
        _detach(places, call.environ, timeout, as_json=as_json)
    else:
        sys.stdout.flush()
        command = places.command()
        os.execve(command[0], command, dict(call.environ))  # noqa: S606 - this process becomes the daemon


def _places(config: str | None, environ: Mapping[str, str]) -> _Places:
    path = config_path(config, environ)
    configured = configured_state_dir(path, environ) if path else None
    return _Places(path, socket_path(configured, environ), state_dir(configured, environ) / LOG_NAME)


def _detach(places: _Places, environ: Mapping[str, str], timeout_s: float, *, as_json: bool) -> None:
    places.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(places.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        begin = os.fstat(descriptor).st_size
        child = subprocess.Popen(
            places.command(),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    with _exit_of(child.pid) as gone:
        status = _wait(child, gone, places, timeout_s, begin)
    found = {
        "pid": child.pid,
        "socket": str(places.socket),
        "gateway": status["gateway"],
        "log": str(places.log),
    }
    if as_json:
        emit(found)
        return
    out(f"clawd {status['version']} is ready, process {child.pid}")
    out(f"socket   {found['socket']}")
    out(f"gateway  {found['gateway'] or 'off'}")
    out(f"log      {found['log']}")
    for warning in warnings_since(places.log, begin):
        say(f"warning: {warning}")
    say(f"next: {places.own_call(environ)} chat")


def _wait(
    child: subprocess.Popen[bytes], gone: select.poll, places: _Places, timeout_s: float, begin: int
) -> dict[str, Any]:
    """Return the child's status once it is ready.

    The socket is looked at every 50 ms; the child's end is noticed at once.
    """
    client = Client([places.socket], timeout_s=5)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if gone.poll(_LOOK_S * 1000):
            code = child.wait()
            if _last_words(places.log, begin) and code > 0:
                raise typer.Exit(code)  # its own words have said what, where, why and what to try
            raise StartFailed(places.log, code)
        try:
            status = client.get("/status")
        except ControlError:
            continue  # not there yet
        if status["pid"] == child.pid and status["state"] == "ready":
            return status
    raise NotReady(
        "the daemon is not ready yet",
        where=str(places.log),
        why=f"process {child.pid} still starts after {timeout_s:.0f} s",
        remedy="clawd status --watch",
    )


@contextmanager
def _exit_of(pid: int) -> Iterator[select.poll]:
    """Give a poll that fires when the process ends. Source: pidfd_open(2)."""
    descriptor = os.pidfd_open(pid)
    try:
        gone = select.poll()
        gone.register(descriptor, select.POLLIN)
        yield gone
    finally:
        os.close(descriptor)


def _last_words(log: Path, begin: int) -> bool:
    """Show what the daemon said before it ended; its log lines only when it said nothing for people.

    Returns whether it told an error in words.
    """
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read(1_000_000)[-_WORDS:].decode(errors="replace").splitlines()
    words = [line for line in lines if not _is_log_line(line)]
    for line in words or lines[-5:]:
        say(clean(line))
    return any(line.startswith("error[") for line in words)


def warnings_since(log: Path, begin: int) -> Iterator[str]:
    """Yield what a daemon that has started warns of, from its log behind byte `begin`, each in one line."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(begin)
        for line in file.read(1_000_000).decode(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == "start_warning":
                    yield one_line(str(entry.get("warning")), 500)


def _is_log_line(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
