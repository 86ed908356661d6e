"""Fields of OpenAI's request bodies, read one by one; what has another shape is refused by name. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from clawd.gateway.openai_errors import bad_field

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue


def text_of(value: JsonValue, param: str) -> str:
    """Return a string; raises RequestRefused (400), as all of these do."""
    if not isinstance(value, str):
        raise bad_field(param, "has to be a string", code="invalid_type")
    return value


def object_of(value: JsonValue, param: str) -> JsonObject:
    """Return an object."""
    if not isinstance(value, dict):
        raise bad_field(param, "has to be an object", code="invalid_type")
    return value


def list_of(value: JsonValue, param: str, *, most: int) -> list[JsonValue]:
    """Return a list of at most so many items."""
    if not isinstance(value, list):
        raise bad_field(param, "has to be a list", code="invalid_type")
    if len(value) > most:
        raise bad_field(
            param, f"has {len(value)} items, and {most} is the most", code="array_above_max_length"
        )
    return value


def flag_of(body: JsonObject, name: str) -> bool:
    """Return a boolean that is False where it is missing or null."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise bad_field(name, "has to be true or false", code="invalid_type")
    return value


def count_of(body: JsonObject, *names: str) -> int | None:
    """Return a whole number of at least 1, the first of these fields that is there; None without any."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000_000:
            raise bad_field(name, "has to be a whole number of at least 1")
        return value
    return None


def number_of(body: JsonObject, name: str, least: float, most: float) -> float | None:
    """Return a number within bounds, None where it is missing or null."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad_field(name, "has to be a number", code="invalid_type")
    if not least <= value <= most:
        raise bad_field(name, f"has to be from {least:g} to {most:g}")
    return float(value)
