"""What is told of a wrong body: the field with its path, and what it is to be."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from clawd.gateway.problems import RequestRefused
from clawd.gateway.requests import ApprovalBody, Body, MessageBody, Says
from clawd.gateway.validation import validate
from clawd.response import JsonObject, JsonValue

VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class Cat(Body):
    type: Literal["cat"]
    lives: Annotated[int, Field(ge=1), Says("has to be how often it can fall")]


class Dog(Body):
    type: Literal["dog"]
    cat: Cat | None = None
    legs: int = Field(default=4, le=4)


class Zoo(Body):
    animals: Annotated[
        tuple[Annotated[Cat | Dog, Field(discriminator="type")], ...], Field(strict=False, max_length=3)
    ]
    open: bool = False


def told(model: type[Body], body: JsonObject) -> str:
    with pytest.raises(RequestRefused) as caught:
        validate(model, body)
    assert (caught.value.status, caught.value.reason_code) == (400, "bad_request")
    return f"{caught.value.what} | {caught.value.remedy}" if caught.value.remedy else caught.value.what


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "animals: is missing"),
        ({"animals": {}}, "animals: has to be a list"),
        ({"animals": [], "open": "true"}, "open: has to be true or false"),
        ({"animals": [7]}, "animals[0]: has to be an object"),
        ({"animals": [{"lives": 7}]}, "animals[0]: type is missing"),
        (
            {"animals": [{"type": "cow", "horns": 2}]},
            "animals[0]: there is no type cow; the types are 'cat', 'dog'",
        ),
        (
            {"animals": [{"type": "dog"}, {"type": "cat", "lives": "7"}]},
            "animals[1].lives: has to be how often it can fall",
        ),
        ({"animals": [{"type": "cat"}]}, "animals[0].lives: is missing; it has to be how often it can fall"),
        ({"animals": [{"type": "dog", "legs": 5}]}, "animals[0].legs: has to be at most 4"),
        (
            {"animals": [{"type": "dog", "leg": 5}]},
            "unknown field animals[0].leg; did you mean 'legs'? | the fields are cat, legs, type",
        ),
        (
            {"animals": [{"type": "dog", "cat": {"type": "cat", "lives": 1, "horns": 2}}]},
            "unknown field animals[0].cat.horns | the fields are lives, type",
        ),
        (
            {"animals": "x", "x" * 99: 1},
            f"unknown field {'x' * 40} | the fields are animals, open",
        ),
    ],
)
def test_a_wrong_field_is_told_with_its_path(body: JsonObject, sentence: str) -> None:
    assert told(Zoo, body) == sentence


def test_an_unknown_field_is_told_before_what_is_missing() -> None:
    assert told(MessageBody, {"txet": "hi"}).startswith("unknown field txet; did you mean 'text'?")


def test_a_word_for_always_does_not_go_with_no() -> None:
    assert (
        told(ApprovalBody, {"answer": "deny", "always": ""}) == "always: goes with approve and not with deny"
    )


@given(
    st.dictionaries(
        st.sampled_from(["text", "parts", "conversation", "sender", "model", "callback_url", "x"]), VALUES
    )
)
def test_whatever_comes_is_a_message_or_is_refused_in_a_sentence(body: JsonObject) -> None:
    try:
        message = validate(MessageBody, body)
    except RequestRefused as refused:
        assert refused.what != "has the wrong form"  # noqa: PT017 - either end is right
    else:
        assert message.model_dump(exclude_unset=True, mode="json") == body
