"""The tool `time`: the current date and time in a time zone."""

from __future__ import annotations

import asyncio
import zoneinfo
from typing import TYPE_CHECKING, Final

from pydantic import field_validator

from clawd.config.schema import ToolConfig
from clawd.errors import ToolFailed, ToolRetry
from clawd.nearest import nearest
from clawd.tools.base import ToolPlugin, ToolResult, ToolSpec

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.response import JsonObject
    from clawd.tools.base import ToolContext

NAME: Final = "time"

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# ZoneInfo answers a name that is a directory or too long with the file system's own error.
_NO_ZONE = (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError)


class TimeConfig(ToolConfig):
    """The section `tools.time`."""

    zone: str | None = None  # IANA name used when the model names none; None: the host's own zone

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                zoneinfo.ZoneInfo(value)
            except _NO_ZONE as error:
                raise ValueError(
                    f"unknown time zone {value!r}; an IANA name such as Europe/Berlin"
                ) from error
        return value


class TimeTool:
    """Tells the time."""

    spec = ToolSpec(
        name=NAME,
        description="Current date, time and weekday, in any time zone.",
        parameters={
            "type": "object",
            "properties": {
                "zone": {
                    "type": "string",
                    "maxLength": 100,
                    "description": "IANA name such as Europe/Berlin; leave out for the user's own zone",
                }
            },
            "additionalProperties": False,
        },
        effect="pure",
    )

    def __init__(self, config: TimeConfig) -> None:
        self._default = config.zone

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        wanted = arguments.get("zone") or self._default
        now = context.clock.now()
        if not isinstance(wanted, str):
            return ToolResult(_told(now.astimezone(), "local time"))
        # Zone data are files: read in a thread the first time, remembered by zoneinfo afterwards.
        zone = await asyncio.to_thread(_zone, wanted, now)
        return ToolResult(_told(now.astimezone(zone), wanted))


def _zone(name: str, now: datetime) -> zoneinfo.ZoneInfo:
    """Return the zone, or raise a ToolError that says what to do instead."""
    try:
        return zoneinfo.ZoneInfo(name)
    except _NO_ZONE as error:
        known = zoneinfo.available_timezones()
        if not known:
            why = "install the system package tzdata, or pip install tzdata"
            what = f"This host has no time zone data. In UTC it is {_told(now, 'UTC')}"
            raise ToolFailed(NAME, what, why=why) from error
        raise ToolRetry(NAME, f"There is no time zone {name!r}", why=_advice(name, known)) from error


def _advice(name: str, known: set[str]) -> str:
    """Return the names that come close, by their whole or by their last word."""
    folded = {zone.casefold(): zone for zone in sorted(known)}
    folded |= {zone.rpartition("/")[2].casefold(): zone for zone in sorted(known)}
    word = name.strip().replace(" ", "_").casefold()
    close = nearest(word, folded, most=3, cutoff=0.75)
    return (
        f"did you mean {' or '.join(dict.fromkeys(folded[match] for match in close))}?"
        if close
        else ("use an IANA name such as Europe/Berlin or Asia/Shanghai")
    )


def _told(moment: datetime, zone: str) -> str:
    # Own names of days: strftime's would follow the locale of whoever started the daemon.
    stamp = moment.isoformat(sep=" ", timespec="seconds")
    return f"{_DAYS[moment.weekday()]}, {stamp} ({zone})"


PLUGIN = ToolPlugin(name=NAME, config=TimeConfig, create=lambda _site, config: TimeTool(config))
