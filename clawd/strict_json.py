"""JSON from strangers, read strictly: what two parsers could understand differently is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue

MAX_DEPTH: Final = 64


class BadJson(ValueError):
    """The bytes are not the JSON object that was asked for; the text says why, in words for the sender."""


def parse_object(raw: bytes, *, max_depth: int = MAX_DEPTH) -> JsonObject:
    """Return the JSON object in `raw`.

    Args:
        raw: UTF-8 without a byte order mark.
        max_depth: Greatest nesting of arrays and objects, at least 1.

    Raises:
        BadJson: invalid UTF-8 or JSON, NaN or Infinity, a name twice in one object, half of a surrogate
            pair, nested too deeply, a number of thousands of digits, or not an object at the top.

    Source: RFC 8259; I-JSON (RFC 7493) for duplicate names, surrogates and numbers.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(f"the body is not UTF-8: bad byte at offset {error.start}") from error
    if text.startswith("\ufeff"):
        raise BadJson("the body begins with a byte order mark")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise BadJson(f"the body is nested more than {max_depth} levels deep") from error
    except json.JSONDecodeError as error:
        raise BadJson(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except BadJson:
        raise
    except ValueError as error:  # int() refuses numbers of more than some 4,000 digits
        raise BadJson("the body holds a number that is too long") from error
    if not isinstance(value, dict):
        raise BadJson("the body is not a JSON object")
    # What is not there needs no look at every value: half a pair can only come from an escape.
    if "\\u" in text or text.count("{") + text.count("[") > max_depth:
        _check(value, max_depth)
    return value


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise BadJson(f"the name {_printable(twice)} comes twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not JSON")


def _check(top: JsonValue, max_depth: int) -> None:
    # A loop, not recursion: the depth is what the sender chose.
    level: list[JsonValue] = [top]
    for _ in range(max_depth):
        below: list[JsonValue] = []
        for value in level:
            match value:
                case str():
                    _check_text(value)
                case list():
                    below += value
                case dict():
                    below += value.keys()
                    below += value.values()
                case _:
                    pass
        if not below:
            return
        level = below
    if any(isinstance(value, list | dict) for value in level):
        raise BadJson(f"the body is nested more than {max_depth} levels deep")
    for value in level:
        if isinstance(value, str):
            _check_text(value)


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadJson("a string holds half of a surrogate pair") from error


def _printable(name: str) -> str:
    return json.dumps(name[:40])
