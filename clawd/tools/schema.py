"""Checking a tool call's arguments against the tool's JSON Schema, in words that a model can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clawd.response import JsonValue

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def problems(value: JsonValue, schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield one sentence for each place where the value does not fit.

    Args:
        value: Parsed JSON.
        schema: The keywords understood are `type, enum, properties, required, additionalProperties: false,
            items, minItems, maxItems, minLength, maxLength, minimum, maximum`; any other is left to the tool.
        where: How to name the value, empty for the arguments as a whole.

    Source: JSON Schema 2020-12, validation vocabulary.
    """
    name = where or "the arguments"
    if "type" in schema and not _has_type(value, schema["type"]):
        yield f"{name} must be {_listed(schema['type'])}, not {_type_of(value)}"
        return
    if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
        yield f"{name} must be one of {', '.join(map(repr, schema['enum']))}"
    match value:
        case dict():
            yield from _object_problems(value, schema, where)
        case list():
            yield from _size_problems(len(value), schema, "Items", f"{name} must have", "items")
            for index, item in enumerate(value):
                yield from problems(item, schema.get("items", {}), f"{where}[{index}]")
        case str():
            yield from _size_problems(len(value), schema, "Length", f"{name} must have", "characters")
        case int() | float() if not isinstance(value, bool):
            yield from _size_problems(value, schema, "imum", f"{name} must be", "")
        case _:
            pass


def _object_problems(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    prefix = f"{where}." if where else ""
    known = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{prefix}{key} is missing"
    for key, item in value.items():
        if key in known:
            yield from problems(item, known[key], f"{prefix}{key}")
        elif schema.get("additionalProperties") is False:
            yield f"{prefix}{key} is not known; there is {', '.join(known) or 'nothing'}"


def _size_problems(
    size: float, schema: Mapping[str, Any], suffix: str, must: str, unit: str
) -> Iterator[str]:
    least, most = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if least is not None and size < least:
        yield f"{must} at least {least} {unit}".rstrip()
    if most is not None and size > most:
        yield f"{must} at most {most} {unit}".rstrip()


def _has_type(value: JsonValue, wanted: str | list[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(value, bool):
        return "boolean" in names
    if isinstance(value, float) and value.is_integer() and "integer" in names:
        return True  # JSON has one kind of number: 2.0 is an integer
    return isinstance(value, tuple(kind for name in names for kind in _TYPES[name]))


def _type_of(value: JsonValue) -> str:
    return next(name for name in ("null", "boolean", *_TYPES) if _has_type(value, name))


def _listed(wanted: str | list[str]) -> str:
    return wanted if isinstance(wanted, str) else " or ".join(wanted)


def _same(value: JsonValue, choice: JsonValue) -> bool:
    """JSON's equality: unlike in Python, true is not 1."""
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)
