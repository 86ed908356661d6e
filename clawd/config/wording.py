"""Says what pydantic found in words of the configuration: where, what was expected, what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from clawd.config.base import Section
from clawd.config.nodes import Entries, Items, KeyPath, Mark, Node, Scalar, describe, find
from clawd.config.problems import Problems, did_you_mean
from clawd.config.secrecy import names_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a section",
    "model_type": "a section",
    "model_attributes_type": "a section",
    "is_instance_of": "a section",
    "none_required": "nothing",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "date_type": "a date such as 2026-01-31",
    "date_parsing": "a date such as 2026-01-31",
    "date_from_datetime_parsing": "a date such as 2026-01-31",
    "date_from_datetime_inexact": "a date such as 2026-01-31",
}
# How a section is turned off that does not take `false` itself.
_OFF: Final[Mapping[KeyPath, str]] = {("gateway",): "to turn it off: gateway: {port: false}"}
_PATTERNS: Final[Mapping[str, str]] = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "a name of at most 64 letters, digits, '.', '_' or '-'",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}:.+$": "BRIDGE:SENDER, such as telegram:12345",
    r"^\d{1,6}/(s|min|h)$": "a rate such as 20/min, 1/s or 100/h",
    r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$": "an origin such as https://chat.example.com, in lower case",
}


def add_errors(
    error: ValidationError,
    model: type[BaseModel],
    section: Node,
    path: KeyPath,
    mark: Mark,
    problems: Problems,
) -> None:
    """Add what pydantic found in `section` (its key at `mark`, the model's loc counted from `path`) to `problems`.

    What only follows from a mistake noted before is left out, and the members of a union are told in one sentence.
    """
    grouped: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        reached = find(section, detail["loc"])[0]
        if detail["type"] == "missing":
            reached = (*reached, str(detail["loc"][-1]))
        grouped.setdefault(reached, []).append(detail)
    for reached, details in grouped.items():
        if problems.concerns((*path, *reached)):
            continue
        if details[0]["type"] == "value_error" and problems.lies_within((*path, *reached)):
            continue
        _add_one(details, model, section, (path, reached), mark, problems)


def _add_one(
    details: list[ErrorDetails],
    model: type[BaseModel],
    section: Node,
    place: tuple[KeyPath, KeyPath],
    mark: Mark,
    problems: Problems,
) -> None:
    path, reached = place
    key = (*path, *reached)
    found, node, key_mark = find(section, reached)
    names = details[0]["loc"][-1:] == ("[key]",)  # the key itself is wrong, not what stands behind it
    here = node.mark if isinstance(node, Scalar) and not names else key_mark if found else mark
    kind = details[0]["type"]
    if kind == "missing":
        problems.add(here, key, "this key is missing")
        return
    if kind == "extra_forbidden":
        known = sorted(known_keys(model, details[0]["loc"][:-1]))
        name = str(reached[-1]) if reached else ""
        if len(reached) == 1 and issubclass(model, Section) and name in model.foreign_keys:
            problems.add(key_mark, key, f"unknown key {name!r}", remedy=model.foreign_keys[name])
            return
        hint = did_you_mean(name, known)
        problems.add(
            key_mark, key, f"unknown key {name!r}{hint}", remedy="" if hint else f"known: {', '.join(known)}"
        )
        return
    expected = list(dict.fromkeys(filter(None, map(_expectation, details))))
    if not expected:
        problems.add(
            here, key, details[0]["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        )
        return
    hint = ""
    if kind == "literal_error" and isinstance(node, Scalar):
        hint = did_you_mean(str(node.value), re.findall(r"'([^']*)'", " ".join(expected)))
    quotes = kind == "string_type" and isinstance(node, Scalar) and node.value is not None
    remedy = "put it in quotes" if quotes else ""
    if isinstance(node, Scalar) and node.value is False:
        remedy = _OFF.get(key, remedy)
    got = repr(reached[-1]) if names and reached else _shown(node, key)
    problems.add(here, key, f"expected {' or '.join(expected)}, got {got}{hint}", remedy=remedy)


def _expectation(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "string_pattern_mismatch":
        pattern = str(context.get("pattern", ""))
        return _PATTERNS.get(pattern, f"text like {pattern}")
    plain = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return _EXPECTED.get(detail["type"], "").format(**plain).replace("False", "false").replace("True", "true")


def _shown(node: Node, key: KeyPath) -> str:
    if isinstance(node, Items):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
        return describe(node)
    names = [part for part in key if isinstance(part, str)]
    if names and names_secret(names[-1]):
        return describe(node)
    if isinstance(node.value, str):
        text = node.value if len(node.value) <= 40 else f"{node.value[:40]}…"
        return repr(text)
    return f"the number {node.value}"


# --- what a model knows ---------------------------------------------------------------------------


def known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[str]:
    """Return the keys of the section that `loc` leads to."""
    models = {model}
    for part in loc:
        below = {
            section
            for known in models
            if isinstance(part, str) and part in known.model_fields
            for section in _sections(known.model_fields[part].annotation)
        }
        models = below or models  # an index, a name of a free section, or a union member's label
    return {key for known in models for key in known.model_fields}


def add_bool_numbers(model: type[BaseModel], section: Node, path: KeyPath, problems: Problems) -> None:
    """Note true and false where a number is expected: pydantic would read `port: yes` as port 1."""
    if not isinstance(section, Entries):
        return
    for key, entry in section.entries.items():
        field = model.model_fields.get(key)
        if field is None:
            continue
        node, where = entry.node, (*path, key)
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            if _takes_number(field.annotation) and not _takes_bool(field.annotation, node.value):
                problems.add(node.mark, where, f"expected a number, got {describe(node)}")
            continue
        for below in _sections(field.annotation):
            for index, item in enumerate(node.items if isinstance(node, Items) else ()):
                add_bool_numbers(below, item, (*where, index), problems)
            add_bool_numbers(below, node, where, problems)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    if get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from _sections(argument)


def _takes_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(_takes_number(part) for part in get_args(annotation))


def _takes_bool(annotation: Any, value: bool) -> bool:
    if get_origin(annotation) is Literal:
        return any(part is value for part in get_args(annotation))
    return annotation is bool or any(_takes_bool(part, value) for part in get_args(annotation))
