"""The last troubles in the log, for a bug report: events and where they were raised, without what people wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from clawd.cli.logfile import last_lines
from clawd.cli.logfilter import LogFilter
from clawd.cli.report_hiding import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from clawd.cli.logfilter import LogLine
    from clawd.cli.report_hiding import Hider

MOST: Final = 40
_FRAMES: Final = 40  # lines of a traceback, the last ones

_TEXTS: Final = frozenset(
    {"error", "why", "reason", "remedy", "what", "problems", "warning", "path", "file", "socket", "url"}
)
_ADDRESSES: Final = frozenset({"address", "conversation", "from", "to"})
_WORDS: Final = frozenset(
    {
        "bridge",
        "model",
        "models",
        "tool",
        "state",
        "kind",
        "kinds",
        "code",
        "route",
        "turn",
        "delivery",
        "pid",
    }
    | {
        "signal",
        "status",
        "method",
        "attempt",
        "count",
        "duration_s",
        "lag_s",
        "bytes",
        "budget",
        "port",
        "mode",
    }
    | {"changed", "restart_needed", "about", "finish", "trace", "span", "rule", "severity", "value", "above"}
)
"""Fields whose values are ours. What a field of another name holds is told by its length."""

_PLACE: Final = re.compile(r'File "(.+?)", line \d+')
_RAISED: Final = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
_BETWEEN: Final = ("Traceback (", "During handling", "The above exception", "Exception Group Traceback (")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One line of the log; what is none, such as a crash's last words, has only a place or a length."""

    at: str = ""
    level: str = ""
    logger: str = ""
    event: str
    fields: Mapping[str, str] = field(default_factory=dict)
    trace: tuple[str, ...] = ()


def last_troubles(state_dir: Path, hider: Hider, most: int = MOST) -> list[LogEvent]:
    """Return the last warnings and errors, the oldest first; none where there is no log."""
    from clawd.cli.logs import LOG_NAME

    try:
        _, lines = last_lines(state_dir / LOG_NAME, LogFilter(level="warning"), most)
        return [_event(line, hider) for line in lines]
    except OSError:
        return []


def trace_of(text: str, hider: Hider) -> tuple[str, ...]:
    """Return a traceback's places and kinds of exceptions; their messages may quote anything, and are left out."""
    return tuple(_told(text, hider))[-_FRAMES:]


def _event(line: LogLine, hider: Hider) -> LogEvent:
    if line.data is None:
        return LogEvent(
            event="output", fields={"text": " ".join(trace_of(line.raw, hider)) or written(line.raw)}
        )
    data = dict(line.data)
    head = {key: str(data.pop(key, "")) for key in ("ts", "level", "logger", "event")}
    exception = str(data.pop("exception", ""))
    return LogEvent(
        at=head["ts"],
        level=head["level"],
        logger=head["logger"],
        event=hider.text(head["event"]),
        fields={hider.text(key): _value(key, value, hider) for key, value in data.items()},
        trace=trace_of(exception, hider),
    )


def _value(key: str, value: object, hider: Hider) -> str:
    text = str(value)
    if key in _ADDRESSES:
        return hider.address(text)
    if key in _TEXTS or key in _WORDS:
        return hider.text(text)
    return written(text)


def _told(text: str, hider: Hider) -> Iterator[str]:
    source = False  # the line behind a place is a line of a program
    for line in text.splitlines():
        bare = line.lstrip(" |+-")
        if _PLACE.match(bare):
            source = True
            yield f"  {hider.path(bare) if '~' in hider.path(bare) else hider.text(bare)}"
        elif source and line.startswith("  "):
            source = False
            yield f"    {hider.text(bare)}"
        elif bare.startswith(_BETWEEN):
            source = False
            yield bare
        elif (raised := _RAISED.match(bare)) and _is_exception(raised[1]):
            source = False
            yield raised[1]


def _is_exception(name: str) -> bool:
    last = name.rpartition(".")[2]
    return (
        last[:1].isupper()
        and last.endswith(
            ("Error", "Exception", "Group", "Exit", "Interrupt", "Warning", "Cancelled", "Closed", "Timeout")
        )
    ) or ("." in name and last[:1].isupper())
