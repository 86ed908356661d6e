"""What `/openapi.json` says of bodies and frames is what their readers do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from clawd.gateway.frames import FrameRefused, read_frame
from clawd.gateway.openai_chat_request import read_chat
from clawd.gateway.openai_errors import OpenAIRefused
from clawd.gateway.openai_responses_request import read_responses
from clawd.gateway.openapi_document import document
from clawd.gateway.problems import RequestRefused
from clawd.gateway.requests import ApprovalBody, MessageBody
from clawd.gateway.validation import validate
from tests.unit.gateway.test_openai_bad_bodies import bodies

texts = st.sampled_from(["", " ", "a", "a b", "c1", "ü", "approve", "deny", "a\n", "text", "x" * 300])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}) | values, max_size=3)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": texts,
    "token": texts,
    "app_id": texts,
    "conversation": texts,
    "text": texts,
    "parts": parts,
    "sender": texts,
    "after": texts,
    "turn": texts,
    "approval": texts,
    "answer": texts,
    "decision": texts,
    "always": texts,
    "more": values,
}
KINDS = ("auth", "send", "subscribe", "unsubscribe", "cancel", "approve", "ping", "dance")


def made_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with some of these fields, most of them of the right kind."""
    optional = {name: field | values if name != "type" else field for name, field in fields.items()}
    return st.fixed_dictionaries({}, optional=optional)


DESCRIBED: Any = document("")


def matches(_validator: Validator, pattern: str, value: object, _schema: object) -> Iterator[ValidationError]:
    """Judge `pattern` as JSON Schema means it: `$` is the end, where Python's is also the line's in front of it.

    Source: JSON Schema Core 2020-12, section 6.4; ECMA-262, Assertion `$`.
    """
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


JUDGE: type[Validator] = extend(Draft202012Validator, {"pattern": matches})  # type: ignore[no-untyped-call]


@cache
def schema(name: str) -> Validator:
    return JUDGE({"$ref": f"#/components/schemas/{name}", "components": DESCRIBED["components"]})


def is_taken(read: Any, body: Any) -> bool:
    try:
        read(body)
    except RequestRefused:
        return False
    return True


@settings(deadline=None, max_examples=60)
@example({"conversation": "a\n", "text": "a"})
@given(made_of(**{name: FIELDS[name] for name in ("conversation", "text", "parts", "sender", "more")}))
def test_a_message_is_taken_if_and_only_if_it_is_as_described(body: dict[str, Any]) -> None:
    assert is_taken(lambda body: validate(MessageBody, body), body) == schema("MessageBody").is_valid(body)


@settings(deadline=None, max_examples=40)
@given(made_of(**{name: FIELDS[name] for name in ("answer", "always", "sender", "more")}))
def test_a_word_is_taken_if_and_only_if_it_is_as_described(body: dict[str, Any]) -> None:
    assert is_taken(lambda body: validate(ApprovalBody, body), body) == schema("ApprovalBody").is_valid(body)


@settings(deadline=None, max_examples=60)
@given(made_of(**FIELDS), st.sampled_from(KINDS))
def test_a_frame_is_taken_if_and_only_if_it_is_as_described(body: dict[str, Any], kind: str) -> None:
    frame = {"type": kind, **body}
    taken = True
    try:
        read_frame(json.dumps(frame))
    except FrameRefused as refused:
        assert refused.reason_code != "bad_json"  # noqa: PT017 - either end is right
        taken = False
    assert taken == schema("ClientFrame").is_valid(frame)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies)
def test_what_is_taken_of_openais_clients_is_as_described(body: dict[str, Any]) -> None:
    """The other way round it is not so: their readers look at fields together."""
    for read, name in ((read_chat, "ChatBody"), (read_responses, "ResponsesBody")):
        try:
            read(body)
        except OpenAIRefused:
            continue
        errors = [error.message for error in schema(name).iter_errors(body)]
        assert not errors
