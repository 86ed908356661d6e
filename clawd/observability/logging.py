"""Logging: events with fields, to standard error and to STATE_DIR/clawd.log, without secrets.

Code logs a stable name and fields: `log.info("delivery_sent", extra={"delivery": id})`.

The file holds one JSON object a line, which `clawd logs` reads: `ts` (UTC, milliseconds, "Z"), `level`
(debug, info, warning, error, critical), `logger`, `event`, then the fields, and `exception` (the traceback,
with all causes). A field named like one of these gets a trailing underscore. First of the fields stand those
that say what the line is about (`about.py`): `turn`, `delivery`, `bridge`, `conversation`, `request`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

from clawd.errors import ClawdError
from clawd.observability.formatters import JournaldFormatter, JsonFormatter, TerminalFormatter, TextFormatter
from clawd.observability.redact import Redactor
from clawd.observability.sinks import Descriptor, RotatedFile, Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from clawd.config.schema import LoggingConfig

LOG_FILE: Final = "clawd.log"

_STDERR = 2


class Logs:
    """The running set-up: what a reload changes, and what a process that ends puts back.

    As a context manager it also logs the error that ends the block, which passes through: without that the
    file would stop before its most interesting line, and Python would print it with its secrets.
    """

    def __init__(self, config: LoggingConfig, state_dir: Path | None, environ: Mapping[str, str]) -> None:
        self.redactor = Redactor()
        self._state_dir = state_dir
        self._journald = under_journald(environ)
        self._environ = environ
        self._sinks: list[Sink] = []
        self._hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        self.apply(config)

    def apply(self, config: LoggingConfig, secrets: Iterable[str] = ()) -> None:
        """Log by this configuration from now on, and hide these secrets beside the known ones."""
        self.redactor.add(secrets)
        root = logging.getLogger()
        old, self._sinks = self._sinks, self._build(config)
        for sink in self._sinks:
            root.addHandler(sink)
        for sink in old:
            root.removeHandler(sink)
            sink.close()
        level = logging.getLevelNamesMapping()[config.level.upper()]
        root.setLevel(level)
        # One line for every request of a health check is noise, unless somebody asked for everything.
        logging.getLogger("aiohttp.access").setLevel(level if level <= logging.DEBUG else logging.WARNING)
        # It logs every statement with its parameters: what people wrote belongs in the journal alone.
        logging.getLogger("aiosqlite").setLevel(logging.WARNING)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ClawdError):
            logging.getLogger("clawd").critical("failed", extra={"code": error.code, "error": str(error)})
        elif kind is not None and error is not None and isinstance(error, Exception):
            _log_uncaught(kind, error, trace)
            self._hooks = (_already_told, *self._hooks[1:])
        self.close()

    def close(self) -> None:
        """Undo `setup_logging`."""
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._hooks
        logging.captureWarnings(False)
        for sink in self._sinks:
            logging.getLogger().removeHandler(sink)
            sink.close()
        self._sinks = []

    def _build(self, config: LoggingConfig) -> list[Sink]:
        sinks: list[Sink] = []
        path = self._state_dir / LOG_FILE if self._state_dir and config.file else None
        if path is not None:
            file = RotatedFile(path, max_bytes=config.max_bytes, backups=config.backups)
            sinks.append(Sink(file, JsonFormatter(self.redactor)))
        # `start --detach` may have pointed stderr at the very same file.
        if path is None or not _is_stderr(path):
            sinks.append(Sink(Descriptor(_STDERR), self._stderr_formatter(config)))
        return sinks

    def _stderr_formatter(self, config: LoggingConfig) -> logging.Formatter:
        """Return who writes for standard error; `auto` goes by who reads it."""
        terminal = is_terminal()
        form = config.format
        if form == "auto":
            form = "text" if self._journald or terminal else "json"
        inner: logging.Formatter
        if form == "json":
            inner = JsonFormatter(self.redactor)
        elif self._journald or not terminal:
            inner = TextFormatter(self.redactor, timestamps=not self._journald)
        else:
            inner = TerminalFormatter(self.redactor, colour=coloured(self._environ))
        return JournaldFormatter(inner) if self._journald else inner


def setup_logging(
    config: LoggingConfig,
    state_dir: Path | None,
    environ: Mapping[str, str],
    secrets: Iterable[str] = (),
) -> Logs:
    """Send all that this process logs to standard error and to STATE_DIR/clawd.log, from now on.

    Args:
        config: Level, format (`auto`: text at a terminal and for journald, else JSON, as collectors of
            containers' output want it), and whether and how large the file may be.
        state_dir: Where the file goes; None for no file.
        environ: For JOURNAL_STREAM: under journald lines carry `<N>` priorities and no time; and for
            NO_COLOR and its like.
        secrets: Values to hide.

    Returns:
        The handle for reloads (`apply`) and for the end (`close`, or a `with` block around the work).

    Warnings and exceptions that nobody caught are logged as well, so they are redacted too. A disk that is
    full or a reader that is gone loses lines, counted by the event `log_lines_lost`; it never raises.
    """
    logs = Logs(config, state_dir, environ)
    logs.redactor.add(secrets)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable
    return logs


def under_journald(environ: Mapping[str, str]) -> bool:
    """Whether standard error is the stream that JOURNAL_STREAM names (`DEVICE:INODE`), see systemd.exec(5)."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(_STDERR)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def is_terminal() -> bool:
    """Whether standard error is a terminal."""
    try:
        return os.isatty(_STDERR)
    except OSError:
        return False


def coloured(environ: Mapping[str, str]) -> bool:
    """Whether a terminal gets colours. Sources: no-color.org, force-color.org, bixense.com/clicolors."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR") or environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return environ.get("TERM") != "dumb" and environ.get("CLICOLOR") != "0"


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(_STDERR))
    except OSError:
        return False


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("clawd").critical("crashed", exc_info=(kind, error, trace))


def _already_told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Stand in for Python's traceback of an error that is in the log already, without its secrets."""
    del error, trace
    sys.stderr.write(f"clawd crashed: {kind.__name__}; the log has the rest\n")


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None:
        return
    name = args.thread.name if args.thread else ""
    logging.getLogger("clawd").critical(
        "thread_crashed",
        extra={"thread_name": name},
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
    )


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Log what came out of a finaliser or a callback from C; Python would print it with its secrets."""
    error = unraisable.exc_value
    logging.getLogger("clawd").error(
        "unraisable",
        extra={
            "why": unraisable.err_msg or "an exception nobody can catch",
            "where": repr(unraisable.object),
        },
        exc_info=(unraisable.exc_type, error, unraisable.exc_traceback) if error is not None else None,
    )
