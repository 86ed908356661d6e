from __future__ import annotations

import json
from typing import Any

import pytest

from clawd.messages import Audio, File, Image, Part, Text
from clawd.models.base import (
    AssistantMessage,
    ChatMessage,
    ModelRequest,
    OutputSchema,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from clawd.models.chat_config import ChatConfig
from clawd.models.chat_request import request_body
from clawd.tools.base import ToolSpec
from tests.unit.models.conftest import ask

PICTURE = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = OutputSchema(name="city", schema={"type": "object", "properties": {"name": {"type": "string"}}})
SPEC = ToolSpec(name="time", description="d", parameters={"type": "object"}, effect="pure")


def _body(request: ModelRequest, **settings: Any) -> Any:
    return request_body(ChatConfig(name="m", type="chat", base_url="http://h/v1", **settings), request)


def _content(*parts: Part, **settings: Any) -> Any:
    return _body(ModelRequest(messages=(UserMessage(parts),)), **settings)["messages"][0]["content"]


# --- calls and ends


@pytest.mark.parametrize(
    ("must_call", "choice"),
    [
        ((), None),
        (("time",), {"type": "function", "function": {"name": "time"}}),
        (("time", "date"), "required"),
    ],
)
def test_a_call_is_insisted_on_by_name_or_as_any(must_call: tuple[str, ...], choice: Any) -> None:
    request = ModelRequest(messages=(UserMessage((Text("hi"),)),), tools=(SPEC,), must_call=must_call)
    assert _body(request).get("tool_choice") == choice


def test_where_the_answer_ends_is_sent() -> None:
    request = ModelRequest(messages=(UserMessage((Text("hi"),)),), stop=("END",))
    assert _body(request)["stop"] == ["END"]


# --- pictures


@pytest.mark.parametrize("ref", [PICTURE, "https://h/a.png", "HTTP://h/a.png"])
def test_a_picture_is_sent_in_its_place_among_the_words(ref: str) -> None:
    assert _content(Text("what is"), Text("this:"), Image(ref=ref), Text("and why?")) == [
        {"type": "text", "text": "what is\nthis:"},
        {"type": "image_url", "image_url": {"url": ref}},
        {"type": "text", "text": "and why?"},
    ]


def test_pictures_alone_need_no_words() -> None:
    assert [part["type"] for part in _content(Image(ref=PICTURE), Image(ref=PICTURE))] == ["image_url"] * 2


def test_a_platforms_own_reference_and_a_model_without_eyes_get_words() -> None:
    assert _content(Text("look"), Image(ref="AgACAgIAAx")) == "look\n[image]"
    assert _content(Text("look"), Image(ref=PICTURE), vision=False) == "look\n[image]"
    assert _content(Audio(ref="https://h/a.ogg"), File(ref="https://h/a.pdf")) == "[audio]\n[file]"
    assert _content(Image(ref=PICTURE), File(ref="x"))[1] == {"type": "text", "text": "[file]"}


# --- JSON answers


def test_a_schema_is_sent_as_the_form_of_the_answer() -> None:
    body = _body(ask(schema=SCHEMA))
    sent = {"name": "city", "schema": SCHEMA.schema, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": sent}
    assert len(body["messages"]) == 1


@pytest.mark.parametrize("form", ["object", "none"])
def test_where_no_schema_is_taken_it_is_told(form: str) -> None:
    body = _body(ask(schema=SCHEMA), json_output=form)
    assert body.get("response_format") == ({"type": "json_object"} if form == "object" else None)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert json.dumps(SCHEMA.schema) in body["messages"][0]["content"]
    assert "JSON" in body["messages"][0]["content"]  # DeepSeek refuses json_object without the word


def test_a_schema_that_is_told_joins_the_instructions() -> None:
    request = ModelRequest(messages=(SystemMessage("be brief"), *ask().messages), schema=SCHEMA)
    messages = _body(request, json_output="none")["messages"]
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[0]["content"].startswith("be brief\n\nAnswer with one JSON object")


# --- dialects


def test_whether_calls_may_be_parallel_is_said_only_where_tools_are() -> None:
    assert _body(ask(tools=(SPEC,)), parallel_tool_calls=False)["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in _body(ask(tools=(SPEC,)))
    assert "parallel_tool_calls" not in _body(ask(), parallel_tool_calls=False)


def test_instructions_are_sent_in_the_role_that_the_model_knows() -> None:
    request = ModelRequest(messages=(SystemMessage("be brief"), *ask().messages))
    roles = {role: _body(request, system_role=role)["messages"][0]["role"] for role in ("developer", "user")}
    assert roles == {"developer": "developer", "user": "user"}


def test_neighbours_of_one_role_are_joined_where_a_template_insists() -> None:
    calls = (ToolCall(id="1", name="time", arguments="{}"),)
    messages: tuple[ChatMessage, ...] = (
        SystemMessage("one"),
        SystemMessage("two"),
        *ask("a").messages,
        UserMessage((Text("b"), Image(ref=PICTURE))),
        AssistantMessage(text="c"),
        AssistantMessage(text="", tool_calls=calls),
        ToolMessage(call_id="1", name="time", text="noon"),
        ToolMessage(call_id="1", name="time", text="noon"),
        *ask("d").messages,
    )
    sent = _body(ModelRequest(messages=messages), alternate_roles=True)["messages"]
    roles = ["system", "user", "assistant", "assistant", "tool", "tool", "user"]
    assert [message["role"] for message in sent] == roles
    assert sent[0]["content"] == "one\n\ntwo"
    assert [part["type"] for part in sent[1]["content"]] == ["text", "text", "image_url"]
    assert len(_body(ModelRequest(messages=messages))["messages"]) == len(messages)
