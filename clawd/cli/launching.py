"""A daemon as a child process: where it lives, how it is started, and when it is ready."""

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
from typing import TYPE_CHECKING, Any, Final

import typer

from clawd.cli.printing import clean, one_line, say
from clawd.client import Client
from clawd.errors import EXIT_FAILED, EXIT_TRY_LATER, ClawdError, ControlError, JournalError
from clawd.paths import config_path, configured_state_dir, own_call, socket_path, state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOG_NAME: Final = "clawd.log"
_LOOK_S: Final = 0.05
_WORDS: Final = 4000
"""Bytes of a failed daemon's last words that are shown."""

_SERVICE: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})


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
class Places:
    """Where a daemon of this host has its files."""

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


def places_of(config: str | None, environ: Mapping[str, str]) -> Places:
    """Return the places that this option and this environment mean; raises ConfigError."""
    path = config_path(config, environ)
    configured = configured_state_dir(path, environ) if path else None
    return Places(path, socket_path(configured, environ), state_dir(configured, environ) / LOG_NAME)


class Launch:
    """A daemon that was started by this process, in a session of its own; its output goes to its log.

    Args:
        child: The process.
        places: Where it has its files.
        begin: How long the log was before.
    """

    def __init__(self, child: subprocess.Popen[bytes], places: Places, begin: int) -> None:
        self._child = child
        self._begin = begin
        self.places = places
        self.pid = child.pid

    @classmethod
    def begin(cls, places: Places, environ: Mapping[str, str], *, attached: bool = False) -> Launch:
        """Start one. An `attached` one serves the terminal alone, and ends with this process or by `end`.

        Raises:
            JournalError: the state directory can't be made, or its log can't be written.
        """
        descriptor = _log_to_append(places.log)
        try:
            begin = os.fstat(descriptor).st_size
            child = subprocess.Popen(
                [*places.command(), "--standalone"] if attached else places.command(),
                # What supervises this process is not told about that one.
                env={key: value for key, value in environ.items() if not (attached and key in _SERVICE)},
                stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        return cls(child, places, begin)

    def ready(self, timeout_s: float) -> dict[str, Any]:
        """Return the child's status once it is ready.

        The socket is looked at every 50 ms; the child's end is noticed at once.

        Raises:
            typer.Exit: it ended with an error, which was shown.
            StartFailed: it ended without a word.
            NotReady: it takes longer than this.
        """
        client = Client([self.places.socket], timeout_s=5)
        deadline = time.monotonic() + timeout_s
        with _exit_of(self.pid) as gone:
            while time.monotonic() < deadline:
                if gone.poll(_LOOK_S * 1000):
                    code = self._child.wait()
                    if _last_words(self.places.log, self._begin) and code > 0:
                        raise typer.Exit(code)  # its own words have said what, where, why and what to try
                    raise StartFailed(self.places.log, code)
                try:
                    status = client.get("/status")
                except ControlError:
                    continue  # not there yet
                if status["pid"] == self.pid and status["state"] == "ready":
                    return status
        raise NotReady(
            "the daemon is not ready yet",
            where=str(self.places.log),
            why=f"process {self.pid} still starts after {timeout_s:.0f} s",
            remedy="clawd status --watch",
        )

    def end(self, within_s: float) -> None:
        """Let an attached one end at once, and wait for it; one that does not end in time is killed."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self._child.kill()  # nothing that was acknowledged is lost by it
            self._child.wait()

    def warnings(self) -> Iterator[str]:
        """Yield what it warned of while it started, each in one line."""
        return warnings_since(self.places.log, self._begin)


def _log_to_append(log: Path) -> int:
    """Return a descriptor of the log, made if missing; the daemon itself would tell the same in the same words."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(
            "the state directory can't be used",
            where=str(error.filename or log.parent),
            why=error.strerror or str(error),
            remedy="choose another state_dir, or correct its owner and permissions",
        ) from error


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
