"""Moments as people write them: a span from now, or of so long ago, a clock time, a date; and lengths of time. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from clawd.errors import EXIT_USAGE, ClawdError

_SPAN: Final = re.compile(r"(\d{1,4})\s*(m|min|h|d|w|y)")
_AGO: Final = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w|y)")
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})")


class BadSpan(ClawdError):
    """What was given is neither a span nor a date."""

    code = "E-USAGE"
    exit_code = EXIT_USAGE


def span(text: str, *, remedy: str) -> timedelta:
    """Return how long `90m`, `2h`, `7d` … is; raises BadSpan."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise BadSpan(f"{text!r} is no span of time", why="expected a number and m, h, d or w", remedy=remedy)
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def moment(text: str, now: datetime, *, remedy: str) -> datetime:
    """Return the time that a span from now, a clock time to come, a date or a time means; raises BadSpan.

    What names no time zone is local.
    """
    text = text.strip()
    try:
        if _SPAN.fullmatch(text):
            return now + span(text, remedy=remedy)
        if clock := _CLOCK.fullmatch(text):
            here = now.astimezone()
            found = here.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return found if found > here else found + timedelta(days=1)
        return _date(text)
    except (ValueError, OverflowError) as error:
        raise BadSpan(f"{text!r} is neither a span nor a date", why=str(error), remedy=remedy) from error


def past_moment(text: str, now: datetime, *, remedy: str) -> datetime:
    """Return the time that was so long ago, the last time that a clock showed this, or a date or time.

    What names no time zone is local. Raises BadSpan.
    """
    text = text.strip()
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        if clock := _CLOCK.fullmatch(text):
            here = now.astimezone()
            found = here.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return found if found <= here else found - timedelta(days=1)
        return _date(text)
    except (ValueError, OverflowError) as error:
        raise BadSpan(f"{text!r} is no point in time", why=str(error), remedy=remedy) from error


def _date(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        if text in str(error):  # in Python's own words, which name its format and nothing else
            raise ValueError("expected such as 10m, 2h, 1d, 08:30, 2026-01-31 or 2026-01-31T08:30") from error
        raise
    return found if found.tzinfo is not None else found.astimezone()


def length(seconds: float) -> str:
    """Return a length of time in its two greatest units, such as `1 d 2 h`; nothing is less than 0."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    left = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
