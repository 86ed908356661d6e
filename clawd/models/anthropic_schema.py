"""A JSON Schema as Anthropic takes it for the form of an answer. Pure.

The API refuses open objects, bounds and most formats. What it can't hold the model to is told to it in the
description instead, as the vendor's own SDK does it; whoever asked checks the answer in any case.

Source: Claude API, guide "Structured outputs", section "JSON Schema limitations". Looked at in November 2026.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue

_NAMED: Final = frozenset({"properties", "$defs", "definitions"})  # names to schemas
_LISTED: Final = frozenset({"anyOf", "allOf", "oneOf"})
_BOUNDS: Final = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
        "pattern", "maxItems", "uniqueItems", "minProperties", "maxProperties",
    }
)  # fmt: skip
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


def accepted_schema(schema: JsonValue) -> JsonValue:
    """Return the schema with what the API refuses closed, or told in the descriptions."""
    if not isinstance(schema, dict):
        return schema
    kept: JsonObject = {}
    told: JsonObject = {}
    for name, value in schema.items():
        if name in _NAMED and isinstance(value, dict):
            kept[name] = {key: accepted_schema(part) for key, part in value.items()}
        elif name in _LISTED and isinstance(value, list):
            kept["anyOf" if name == "oneOf" else name] = [accepted_schema(part) for part in value]
        elif name == "items":
            kept[name] = accepted_schema(value)
        elif _refused(name, value):
            told[name] = value
        else:
            kept[name] = value
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        kept["additionalProperties"] = False
    if told:
        words = ", ".join(f"{name}: {_plain(value)}" for name, value in told.items())
        before = kept.get("description")
        kept["description"] = f"{before}\n\n{{{words}}}" if before else f"{{{words}}}"
    return kept


def _refused(name: str, value: JsonValue) -> bool:
    match name:
        case "format":
            return value not in _FORMATS
        case "minItems":
            return value not in (0, 1)
        case _:
            return name in _BOUNDS


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
