"""Dataclasses as JSON for the outside: the control socket, the gateway, `--json`."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

from clawd.config.base import Section
from clawd.messages import Address

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue


def jsonable(value: object) -> JsonValue:
    """Return the value as JSON has it.

    A dataclass and a section of the configuration become an object of their fields, an `Address` its text,
    a moment ISO 8601 in UTC with milliseconds and `Z`, a date `YYYY-MM-DD`, a path its text, a set a sorted
    list. A secret has no such form.

    Raises:
        TypeError: a value that has no such form, or a mapping with keys that are no strings.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Section):
        return {name: jsonable(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Address | PurePath):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {_key(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return [jsonable(item) for item in sorted(value)]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def json_object(value: object) -> JsonObject:
    """Return a dataclass or mapping as a JSON object; raises TypeError for anything else."""
    result = jsonable(value)
    if not isinstance(result, dict):
        raise TypeError(f"{type(value).__name__} is not an object")
    return result


def moment(value: datetime) -> str:
    """Return an aware moment as `2026-01-31T12:00:00.000Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a JSON key is a string, not {key!r}")
    return key
