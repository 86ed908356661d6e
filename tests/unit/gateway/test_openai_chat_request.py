"""Bodies of chat completions: what is taken, and which field is named where one is not."""

from __future__ import annotations

from typing import Any

import pytest

from clawd.gateway.openai_chat_request import read_chat
from clawd.gateway.openai_errors import OpenAIRefused
from clawd.messages import Image, Text
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage

HI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


TOOL: Any = {"type": "function", "function": {"name": "f"}}


def said(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages)}


def test_each_role_becomes_its_message() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    question = read_chat(
        said(
            {"role": "system", "content": "s"},
            {"role": "developer", "content": [{"type": "text", "text": "d"}]},
            {"role": "user", "content": [{"type": "text", "text": "u"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
            {"role": "assistant", "content": "a"},
        )
    )
    assert [type(m) for m in question.messages] == [
        SystemMessage,
        SystemMessage,
        UserMessage,
        AssistantMessage,
        ToolMessage,
        AssistantMessage,
    ]


@pytest.mark.parametrize("url", ["https://x.invalid/a.png", PIXEL])
def test_pictures_are_taken_by_address_and_as_data(url: str) -> None:
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
    [message] = read_chat(said({"role": "user", "content": content})).messages
    assert message == UserMessage((Text("what?"), Image(ref=url)))


def test_unknown_fields_are_ignored_and_user_names_no_conversation() -> None:
    question = read_chat({**HI, "user": "u1", "seed": 7, "top_p": 0.3, "new_in_2030": {}, "stop": None})
    assert question.conversation is None


def test_a_conversation_is_named_in_the_metadata() -> None:
    assert read_chat({**HI, "metadata": {"conversation_id": "c1"}}).conversation == "c1"


def test_an_object_of_any_form_is_a_loose_schema() -> None:
    schema = read_chat({**HI, "response_format": {"type": "json_object"}}).schema
    assert schema is not None
    assert not schema.strict
    assert read_chat({**HI, "response_format": {"type": "text"}}).schema is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": 7, "messages": []}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": {}}, "messages"),
        (said({"role": "queen", "content": "x"}), "messages[0].role"),
        (said({"role": "user"}), "messages[0].content"),
        (said({"role": "user", "content": [{"type": "input_audio"}]}), "messages[0].content[0].input_audio"),
        (said({"role": "user", "content": [{"type": {}, "text": ""}]}), "messages[0].content[0].type"),
        (said({"role": "user", "content": [{"text": ""}]}), "messages[0].content[0].type"),
        ({**HI, "audio": False}, "audio"),
        (
            said({"role": "user", "content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}),
            "messages[0].content[0].image_url",
        ),
        (said({"role": "system", "content": [{"type": "image_url"}]}), "messages[0].content[0].type"),
        (said({"role": "assistant"}), "messages[0].content"),
        (said({"role": "tool", "tool_call_id": "c", "content": "x"}), "messages[0].tool_call_id"),
        ({**HI, "n": 2}, "n"),
        ({**HI, "stop": ["x", ""]}, "stop"),
        ({**HI, "stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({**HI, "tool_choice": "required"}, "tool_choice"),
        (
            {**HI, "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
        ),
        ({**HI, "functions": [{}]}, "functions"),
        ({**HI, "stream": "yes"}, "stream"),
        ({**HI, "stream_options": 1}, "stream_options"),
        ({**HI, "temperature": 3}, "temperature"),
        ({**HI, "max_tokens": 0}, "max_tokens"),
        ({**HI, "max_completion_tokens": True}, "max_completion_tokens"),
        ({**HI, "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({**HI, "tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].name"),
        ({**HI, "response_format": {"type": "xml"}}, "response_format.type"),
        ({**HI, "response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.name"),
        ({**HI, "metadata": {"conversation_id": 7}}, "metadata.conversation_id"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(OpenAIRefused) as caught:
        read_chat(body)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("choice", "tools", "must_call"),
    [
        ("auto", 1, ()),
        ("none", 0, ()),
        ("required", 1, ("f",)),
        ({"type": "function", "function": {"name": "f"}}, 1, ("f",)),
        ({"type": "function", "name": "f"}, 1, ("f",)),
    ],
)
def test_a_client_says_whether_its_tools_are_called(
    choice: Any, tools: int, must_call: tuple[str, ...]
) -> None:
    question = read_chat({**HI, "tools": [TOOL], "tool_choice": choice})
    assert (len(question.tools), question.must_call) == (tools, must_call)


@pytest.mark.parametrize(("stop", "expected"), [("x", ("x",)), (["x", "y"], ("x", "y")), ([], ())])
def test_where_the_answer_ends_is_one_text_or_several(stop: Any, expected: tuple[str, ...]) -> None:
    assert read_chat({**HI, "stop": stop}).stop == expected
