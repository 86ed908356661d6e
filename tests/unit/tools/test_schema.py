"""The small validator agrees with the real one on what it understands."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.tools.schema import problems

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 2, "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "ratio": {"type": ["number", "null"]},
        "unit": {"enum": ["c", "f", 1]},
        "flag": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "inner": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}},
    },
    "required": ["text"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, ["text is missing"]),
        ({"text": 1}, ["text must be string, not integer"]),
        ({"text": "abcdef"}, ["text must have at most 5 characters"]),
        ({"text": "ab", "count": 0}, ["count must be at least 1"]),
        ({"text": "ab", "count": True}, ["count must be integer, not boolean"]),
        ({"text": "ab", "count": 2.5}, ["count must be integer, not number"]),
        ({"text": "ab", "ratio": "x"}, ["ratio must be number or null, not string"]),
        ({"text": "ab", "unit": "k"}, ["unit must be one of 'c', 'f', 1"]),
        ({"text": "ab", "unit": True}, ["unit must be one of 'c', 'f', 1"]),
        ({"text": "ab", "list": []}, ["list must have at least 1 items"]),
        ({"text": "ab", "list": ["x", 2]}, ["list[1] must be string, not integer"]),
        ({"text": "ab", "inner": {}}, ["inner.x is missing"]),
        ({"text": "ab", "inner": {"x": None}}, ["inner.x must be integer, not null"]),
        (
            {"text": "a", "flag": 1},
            ["text must have at least 2 characters", "flag must be boolean, not integer"],
        ),
    ],
)
def test_a_misfit_is_named_with_its_place(arguments: Any, told: list[str]) -> None:
    assert list(problems(arguments, SCHEMA)) == told


def test_an_unknown_argument_is_told_what_there_is() -> None:
    (told,) = problems({"text": "ab", "txet": 1}, SCHEMA)
    assert told.startswith("txet is not known; there is text, count")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.sampled_from([2.0, 2.5])
    | st.sampled_from(["", "c", "abc", "toolong"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "text"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), values, max_size=4))
def test_it_agrees_with_the_reference_validator(arguments: Any) -> None:
    assert (not list(problems(arguments, SCHEMA))) == jsonschema.Draft202012Validator(SCHEMA).is_valid(
        arguments
    )
