"""Fields of parsed JSON, whatever a provider really put there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue


def text_at(value: JsonObject, name: str) -> str:
    """Return the text of a field; "" where there is none."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def object_at(value: JsonObject, name: str) -> JsonObject:
    """Return the object of a field; an empty one where there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def objects_at(value: JsonObject, name: str) -> list[JsonObject]:
    """Return the objects of a field that is a list; what else the list holds is left out."""
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def count_at(value: JsonObject, name: str) -> int | None:
    """Return the number of a field that counts something; None where there is none."""
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def kind_of(value: JsonValue) -> str:
    """Return what a value is, for an error that says what came instead."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
