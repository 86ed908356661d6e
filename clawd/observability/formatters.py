"""A log record as a line: JSON for programs, text for people. Without secrets, and of bounded length."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clawd.observability.about import now_about
from clawd.observability.fields import field_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.observability.redact import Redactor
    from clawd.response import JsonValue

_MAX_TEXT: Final = 20_000  # characters of one event, field or traceback that are kept

_DATA: Final = "_clawd_data"  # attribute of a record that was looked at already, for another sink
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
    _DATA,
}
_OURS: Final = frozenset({"ts", "level", "logger", "event", "exception"})
_EVENT: Final = re.compile(r"[a-z_]{2,60}")

# sd-daemon(3): journald takes the priority from a `<N>` in front of each line, syslog's levels.
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
# What steers a terminal, or turns its text around: shown, never sent.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_EVENT_COLUMNS: Final = 24


class Formatter(logging.Formatter):
    """Turns a record into clean data; the one place through which all that is logged passes."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def data(self, record: logging.LogRecord) -> Mapping[str, JsonValue]:
        """Return the record as the file holds it. Called while it is being logged, in the task that did."""
        found = record.__dict__.get(_DATA)
        if found is not None and found[0] is self._redactor:
            done: Mapping[str, JsonValue] = found[1]
            return done
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        data: dict[str, JsonValue] = {
            "ts": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._event(record),
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
        record.__dict__[_DATA] = (self._redactor, data)
        return data

    def _event(self, record: logging.LogRecord) -> JsonValue:
        message = record.msg
        if not record.args and isinstance(message, str) and _EVENT.fullmatch(message):
            return message  # a name out of the code: a secret that is an ordinary word must not blank it out
        return self._clean(_message(record))

    def _clean(self, value: object) -> JsonValue:
        cleaned = self._redactor.clean_value(value)
        # Cut afterwards: half a secret would no longer be recognised.
        if isinstance(cleaned, str) and len(cleaned) > _MAX_TEXT:
            return f"{cleaned[:_MAX_TEXT]}… ({len(cleaned) - _MAX_TEXT} more characters)"
        return cleaned


class JsonFormatter(Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.data(record), ensure_ascii=False)


class TextFormatter(Formatter):
    """`TIME LEVEL LOGGER EVENT key=value …` and the traceback below; without TIME and LEVEL for journald."""

    def __init__(self, redactor: Redactor, *, timestamps: bool) -> None:
        super().__init__(redactor)
        self._timestamps = timestamps

    def format(self, record: logging.LogRecord) -> str:
        data = self.data(record)
        head = [str(data[key]) for key in ("ts", "level", "logger", "event")]
        head[1] = head[1].upper()
        words = head if self._timestamps else head[2:]
        line = _shown(" ".join([*words, *_fields(data)]))
        return f"{line}\n{_visible(str(data['exception']))}" if "exception" in data else line


class TerminalFormatter(Formatter):
    """For the eye: the clock of this place, the level, the event and its fields in columns, the logger last."""

    def __init__(self, redactor: Redactor, *, colour: bool) -> None:
        super().__init__(redactor)
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        data = self.data(record)
        moment = datetime.fromtimestamp(record.created).astimezone()
        clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
        level = str(data["level"])
        event = f"{_shown(str(data['event'])):<{_EVENT_COLUMNS}}"
        fields = _shown(" ".join(_fields(data)))
        logger = _shown(str(data["logger"]))
        words = [
            self._paint(clock, "2"),
            self._paint(f"{level:<8}", _COLOURS.get(level, "")),
            event if fields else event.rstrip(),
            *([fields] if fields else []),
            self._paint(logger, "2"),
        ]
        line = " ".join(words)
        if "exception" in data:
            return f"{line}\n{self._paint(_visible(str(data['exception'])), '2')}"
        return line

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


class JournaldFormatter(logging.Formatter):
    """Puts `<N>` in front of every line of another formatter's text."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        number = next((n for level, n in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{number}>{line}" for line in self._inner.format(record).splitlines())


def _fields(data: Mapping[str, JsonValue]) -> list[str]:
    return [f"{key}={field_text(value)}" for key, value in data.items() if key not in _OURS]


def _shown(text: str) -> str:
    """Return a text as a part of one line, which can't forge another one."""
    return _visible(text.replace("\r", "\\r").replace("\n", "\\n").replace("\u2028", "\\u2028"))


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _message(record: logging.LogRecord) -> str:
    """Return the message; one whose arguments do not fit is still worth its words."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} (its arguments do not fit)"
