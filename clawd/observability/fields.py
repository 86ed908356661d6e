"""Fields of log events as people read them; programs read the JSON."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Final

NOTHING: Final = "-"

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_WORDS: Final = {"half_open": "half-open"}


def field_text(value: object) -> str:
    """Return a field's value: bare when it is one word, else in quotes.

    Nothing, also an empty text or list, is `-`; moments are in UTC to the second, as the times of the lines are;
    the entries of a list stand behind each other.
    """
    if isinstance(value, list) and value and not any(isinstance(part, list | dict) for part in value):
        return ",".join(map(field_text, value))
    if value in (None, "", [], {}):
        return NOTHING
    match value:
        case bool():
            return "yes" if value else "no"
        case str() if (moment := _moment(value)) is not None:
            return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        case str() if not any(c.isspace() or c in "\"'=" for c in value):
            return _WORDS.get(value, value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _moment(text: str) -> datetime | None:
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
