"""Logging: events with fields, to standard error and to STATE_DIR/clawd.log, without secrets.

Code logs a stable name and fields: `log.info("delivery_sent", extra={"delivery": id})`.

The file holds one JSON object a line, which `clawd logs` reads: `ts` (UTC, milliseconds, "Z"), `level`
(debug, info, warning, error, critical), `logger`, `event`, then the fields, and `exception` (the traceback,
with all causes). A field named like one of these gets a trailing underscore. First of the fields stand those
that say what the line is about (`about.py`): `turn`, `delivery`, `bridge`, `conversation`, `request`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from clawd.errors import ClawdError
from clawd.observability.about import now_about
from clawd.observability.fields import field_text
from clawd.observability.redact import Redactor
from clawd.observability.sinks import Descriptor, RotatedFile, Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from clawd.config.schema import LoggingConfig
    from clawd.response import JsonValue

LOG_FILE: Final = "clawd.log"

_STDERR = 2
_MAX_TEXT = 20_000  # characters of one event, field or traceback that are kept

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_OURS = frozenset({"ts", "level", "logger", "event", "exception"})

# sd-daemon(3): journald takes the priority from a `<N>` in front of each line, syslog's levels.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class _Formatter(logging.Formatter):
    """Turns a record into clean data; the one place through which all that is logged passes."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def data(self, record: logging.LogRecord) -> dict[str, JsonValue]:
        """Return the record as the file holds it, without secrets and of bounded length."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        data: dict[str, JsonValue] = {
            "ts": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._clean(_message(record)),
        }
        # In front, so that what a line belongs to stands in the same place of every line.
        for key, value in now_about().items():
            data[key] = self._clean(value)
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                data[f"{key}_" if key in _OURS else key] = self._clean(value)
        if record.exc_info and record.exc_info[0]:
            data["exception"] = self._clean(self.formatException(record.exc_info))
        elif record.stack_info:
            data["exception"] = self._clean(record.stack_info)
        return data

    def _clean(self, value: object) -> JsonValue:
        cleaned = self._redactor.clean_value(value)
        # Cut afterwards: half a secret would no longer be recognised.
        if isinstance(cleaned, str) and len(cleaned) > _MAX_TEXT:
            return f"{cleaned[:_MAX_TEXT]}… ({len(cleaned) - _MAX_TEXT} more characters)"
        return cleaned


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.data(record), ensure_ascii=False)


class TextFormatter(_Formatter):
    """`TIME LEVEL LOGGER EVENT key=value …` and the traceback below; without TIME for journald."""

    def __init__(self, redactor: Redactor, *, timestamps: bool) -> None:
        super().__init__(redactor)
        self._timestamps = timestamps

    def format(self, record: logging.LogRecord) -> str:
        data = self.data(record)
        head = [str(data[key]) for key in ("ts", "level", "logger", "event")]
        head[1] = head[1].upper()
        words = head if self._timestamps else head[2:]
        words += [f"{key}={field_text(value)}" for key, value in data.items() if key not in _OURS]
        line = " ".join(word.replace("\r", "\\r").replace("\n", "\\n") for word in words)
        return f"{line}\n{data['exception']}" if "exception" in data else line


class JournaldFormatter(logging.Formatter):
    """Puts `<N>` in front of every line of another formatter's text."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        number = next((n for level, n in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{number}>{line}" for line in self._inner.format(record).splitlines())


class Logs:
    """The running set-up: what a reload changes, and what a process that ends puts back.

    As a context manager it also logs the error that ends the block, which passes through: without that the
    file would stop before its most interesting line, and Python would print it with its secrets.
    """

    def __init__(self, config: LoggingConfig, state_dir: Path | None, environ: Mapping[str, str]) -> None:
        self.redactor = Redactor()
        self._state_dir = state_dir
        self._journald = under_journald(environ)
        self._sinks: list[Sink] = []
        self._hooks = (sys.excepthook, threading.excepthook)
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
            self._hooks = (_already_told, self._hooks[1])
        self.close()

    def close(self) -> None:
        """Undo `setup_logging`."""
        sys.excepthook, threading.excepthook = self._hooks
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
        inner: logging.Formatter = TextFormatter(self.redactor, timestamps=not self._journald)
        if config.format == "json":
            inner = JsonFormatter(self.redactor)
        return JournaldFormatter(inner) if self._journald else inner


def setup_logging(
    config: LoggingConfig,
    state_dir: Path | None,
    environ: Mapping[str, str],
    secrets: Iterable[str] = (),
) -> Logs:
    """Send all that this process logs to standard error and to STATE_DIR/clawd.log, from now on.

    Args:
        config: Level, format (`auto` is text), and whether and how large the file may be.
        state_dir: Where the file goes; None for no file.
        environ: For JOURNAL_STREAM: under journald lines carry `<N>` priorities and no time.
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
    return logs


def under_journald(environ: Mapping[str, str]) -> bool:
    """Whether standard error is the stream that JOURNAL_STREAM names (`DEVICE:INODE`), see systemd.exec(5)."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(_STDERR)
    except OSError:
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(_STDERR))
    except OSError:
        return False


def _message(record: logging.LogRecord) -> str:
    """Return the message; one whose arguments do not fit is still worth its words."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} (its arguments do not fit)"


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
