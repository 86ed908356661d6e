"""Which lines of a log are wanted: told from their bytes where that is possible, as reading JSON takes longer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clawd.observability.fields import field_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.response import JsonObject

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_MODELS: Final = ("model", "from_model", "to_model")
_BEGINNING: Final = re.compile(rb'\{"ts": "(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)", "level": "([a-z]+)"')
# What a start says to people on standard output (`clawd.daemon.serving.announce`), which is the log of a detached one.
_BANNER: Final = re.compile(r"clawd is ready|  (?:model|gateway|socket|next): +\S.*")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line; `data` is None for what is no log event, such as a crash's last words."""

    raw: str
    data: JsonObject | None

    @property
    def at(self) -> datetime | None:
        """When it was logged, None when it does not say."""
        try:
            moment = datetime.fromisoformat(str(self.data["ts"])) if self.data else None
        except (KeyError, ValueError):
            return None
        return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def parsed(raw: bytes) -> LogLine:
    """Return one line of the file, whatever it holds."""
    text = raw.decode(errors="replace").rstrip("\r\n")
    try:
        data = json.loads(text)
    except ValueError:
        return LogLine(text, None)
    return LogLine(text, data if isinstance(data, dict) else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which lines are wanted. What is not asked for is None, and every line that is wanted has all of the rest."""

    level: str = "debug"  # and the higher ones
    since: datetime | None = None  # from then on
    until: datetime | None = None  # before then
    turn: str | None = None  # an id; that of a delivery finds the delivery's lines
    bridge: str | None = None
    conversation: str | None = None
    model: str | None = None  # asked, or left, or switched to
    event: str | None = None
    grep: re.Pattern[str] | None = None  # in the line as it stands in the file, or as people read it

    def line(self, raw: bytes) -> LogLine | None:
        """Return a line of the file if it is wanted."""
        if self._is_out(raw):
            return None
        line = parsed(raw)
        return line if self._wants(line) else None

    @property
    def is_by_field(self) -> bool:
        """Whether only events can be meant: what is no event belongs to its neighbours, and has no fields."""
        return any((self.turn, self.bridge, self.conversation, self.model, self.event))

    def _is_out(self, raw: bytes) -> bool:
        """Whether the bytes tell already that a line is not wanted."""
        if any(needle not in raw for needle in self._needles()):
            return True
        # Fields read `name=value` to people alone: without such a sign the file's own words decide.
        if (
            self.grep is not None
            and "=" not in self.grep.pattern
            and not self.grep.search(raw.decode(errors="replace"))
        ):
            return True
        begins = _BEGINNING.match(raw)
        if begins is None:
            return False
        moment, level = begins[1].decode(), begins[2].decode()
        return (
            (level in LEVELS and LEVELS.index(level) < LEVELS.index(self.level))
            or (self.since is not None and moment < _as_written(self.since))
            or (self.until is not None and moment >= _as_written(self.until))
        )

    def _needles(self) -> Sequence[bytes]:
        exact = (self.turn, self.bridge, self.conversation, self.model, self.event)
        return [json.dumps(text, ensure_ascii=False).encode() for text in exact if text is not None]

    def _wants(self, line: LogLine) -> bool:
        data = line.data
        if data is None:
            if self.is_by_field or self.since is not None or self.until is not None:
                return False
            # Of what is no event a crash's last words are the gravest there is, and a start's no trouble at all.
            if LEVELS.index(self.level) > LEVELS.index("info") and _BANNER.fullmatch(line.raw):
                return False
            return self.grep is None or self.grep.search(line.raw) is not None
        level = str(data.get("level"))
        if level in LEVELS and LEVELS.index(level) < LEVELS.index(self.level):
            return False
        at = line.at
        if at is not None and (
            (self.since is not None and at < self.since) or (self.until is not None and at >= self.until)
        ):
            return False
        return self._has_fields(data) and (self.grep is None or self._found(self.grep, line))

    def _has_fields(self, data: JsonObject) -> bool:
        kind = "delivery" if (self.turn or "").startswith("delivery:") else "turn"
        wanted = {
            kind: self.turn,
            "bridge": self.bridge,
            "conversation": self.conversation,
            "event": self.event,
        }
        if any(value is not None and data.get(name) != value for name, value in wanted.items()):
            return False
        return self.model is None or any(data.get(name) == self.model for name in _MODELS)

    def _found(self, pattern: re.Pattern[str], line: LogLine) -> bool:
        if pattern.search(line.raw):
            return True
        return (
            pattern.search(" ".join(f"{k}={field_text(v)}" for k, v in (line.data or {}).items())) is not None
        )


def _as_written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
