"""Requests in Anthropic's format, by example."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from clawd.config.base import Secret
from clawd.messages import Audio, File, Image, Part, Text
from clawd.models.anthropic_config import AnthropicConfig
from clawd.models.anthropic_wire import AnthropicFormat, request_body
from clawd.models.base import (
    AssistantMessage,
    ChatMessage,
    ModelRequest,
    OutputSchema,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from clawd.response import Thinking, ToolCall
from clawd.tools.base import ToolSpec

MARK = {"cache_control": {"type": "ephemeral"}}
LOOK = ToolSpec(
    name="look", description="Looks.", parameters={"type": "object", "properties": {}}, effect="pure"
)
FORM = OutputSchema(
    name="cat", schema={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
)


def config(**settings: Any) -> AnthropicConfig:
    settings = {"base_url": "https://api.example.com", "prompt_cache": False, **settings}
    return AnthropicConfig(name="claude", type="anthropic", **settings)


def user(*parts: Part | str) -> UserMessage:
    return UserMessage(tuple(Text(part) if isinstance(part, str) else part for part in parts))


def asks(
    *calls: str, text: str = "", thinking: tuple[Thinking, ...] = (), model: str = "claude"
) -> ChatMessage:
    return AssistantMessage(
        text=text,
        tool_calls=tuple(ToolCall(id=c, name="look", arguments='{"at": 1}') for c in calls),
        thinking=thinking,
        model=model,
    )


def got(call: str, text: str = "seen") -> ToolMessage:
    return ToolMessage(call_id=call, name="look", text=text)


def body(*messages: ChatMessage, settings: dict[str, Any] | None = None, **request: Any) -> dict[str, Any]:
    return request_body(config(**settings or {}), ModelRequest(messages=messages, **request))


def said(*messages: ChatMessage, **settings: Any) -> list[Any]:
    found: list[Any] = body(*messages, settings=settings)["messages"]
    return found


def call(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "look", "input": {"at": 1}}


def result(call_id: str, text: str = "seen") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": text}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# --- messages


def test_a_plain_request() -> None:
    assert body(SystemMessage("Be brief."), user("hi")) == {
        "model": "claude",
        "max_tokens": 16384,
        "system": [text("Be brief.")],
        "messages": [{"role": "user", "content": [text("hi")]}],
        "stream": True,
    }


def test_several_system_messages_are_one_wherever_they_stand() -> None:
    sent = body(SystemMessage("One."), user("hi"), SystemMessage(" "), SystemMessage("Two."))
    assert sent["system"] == [text("One.\n\nTwo.")]
    assert "system" not in body(user("hi"))


def test_neighbours_of_one_role_are_merged() -> None:
    messages = said(user("a"), user("b"), asks(text="c"), asks(text="d"), user("e"))
    assert messages == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
        {"role": "user", "content": [text("e")]},
    ]


def test_empty_texts_are_left_out_and_a_user_always_begins_and_ends() -> None:
    assert said(user(" \n"), asks(text="c"), asks(text=" "), user("")) == [
        {"role": "user", "content": [text("…")]},
        {"role": "assistant", "content": [text("c")]},
        {"role": "user", "content": [text("…")]},
    ]
    assert said(user("")) == [{"role": "user", "content": [text("…")]}]


def test_all_results_of_a_step_are_one_user_message_and_a_merged_text_follows_them() -> None:
    messages = said(user("go"), asks("a", "b", text="I look."), got("b"), got("a"), user("hurry"))
    assert messages[1:] == [
        {"role": "assistant", "content": [text("I look."), call("a"), call("b")]},
        {"role": "user", "content": [result("a"), result("b"), text("hurry")]},
    ]


def test_an_empty_result_goes_without_content() -> None:
    assert said(user("go"), asks("a"), got("a", " "))[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a"}
    ]


def test_arguments_that_python_alone_takes_for_json_are_made_json() -> None:
    broken = AssistantMessage(text="", tool_calls=(ToolCall(id="a", name="look", arguments='{"x": NaN}'),))
    assert said(user("go"), broken, got("a"))[1]["content"][0]["input"] == {"x": "NaN"}


# --- pictures


@pytest.mark.parametrize(
    ("ref", "source"),
    [
        ("https://example.com/cat.png", {"type": "url", "url": "https://example.com/cat.png"}),
        ("HTTPS://example.com/cat", {"type": "url", "url": "HTTPS://example.com/cat"}),
        ("data:image/PNG;base64,aGk=", {"type": "base64", "media_type": "image/png", "data": "aGk="}),
    ],
)
def test_a_picture_is_sent_where_its_reference_can_be(ref: str, source: dict[str, Any]) -> None:
    assert said(user("see", Image(ref=ref)))[0]["content"] == [
        text("see"),
        {"type": "image", "source": source},
    ]


@pytest.mark.parametrize(
    "ref",
    [
        "AgACAgIAAx",
        "http://example.com/cat.png",
        "file:///etc/passwd",
        "data:image/tiff;base64,aGk=",
        "data:,x",
    ],
)
def test_of_other_pictures_the_model_learns_that_they_were_there(ref: str) -> None:
    assert said(user(Image(ref=ref)))[0]["content"] == [text("[image]")]


def test_a_model_that_sees_nothing_is_told_of_pictures_sounds_and_files() -> None:
    parts = user(Image(ref="https://example.com/cat.png"), Audio(ref="x"), File(ref="y"))
    assert said(parts, vision=False)[0]["content"] == [text("[image]"), text("[audio]"), text("[file]")]


# --- thinking


SEALED = Thinking(text="hm", signature="sig")


def test_thinking_goes_back_with_the_results_where_it_stood() -> None:
    thinking = (
        SEALED,
        Thinking(data="secret", after_text=7),
        Thinking(text="", signature="omitted", after_text=7, after_calls=1),
    )
    messages = said(user("go"), asks("a", "b", text="I look.", thinking=thinking), got("a"), got("b"))
    assert messages[1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        text("I look."),
        {"type": "redacted_thinking", "data": "secret"},
        call("a"),
        {"type": "thinking", "thinking": "", "signature": "omitted"},
        call("b"),
    ]


@pytest.mark.parametrize(
    "thinking",
    [Thinking(text="no seal"), Thinking(text="of another format", id="rs_1", data="x")],
)
def test_thinking_that_the_api_would_refuse_is_left_out(thinking: Thinking) -> None:
    assert said(user("go"), asks("a", thinking=(thinking,)), got("a"))[1]["content"] == [call("a")]


def test_thinking_of_another_model_is_left_out() -> None:
    step = asks("a", thinking=(SEALED,), model="other")
    assert said(user("go"), step, got("a"))[1]["content"] == [call("a")]


def test_thinking_of_earlier_turns_is_left_out() -> None:
    step = asks("a", thinking=(SEALED,))
    messages = said(user("go"), step, got("a"), asks(text="done"), user("next"), step, got("a"))
    assert messages[1]["content"] == [call("a")]
    assert messages[5]["content"][0]["type"] == "thinking"


def test_a_message_merged_between_two_steps_does_not_end_the_turn() -> None:
    messages = said(user("go"), asks("a", thinking=(SEALED,)), got("a"), user("hurry"))
    assert messages[1]["content"][0]["type"] == "thinking"


def test_a_budget_raises_the_answers_limit_and_drives_the_temperature_out() -> None:
    sent = body(user("hi"), settings={"thinking_tokens": 2000}, max_tokens=100, temperature=0.2)
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert sent["max_tokens"] == 2100
    assert "temperature" not in sent
    assert body(user("hi"), settings={"thinking_tokens": 2000})["max_tokens"] == 16384 + 2000
    assert body(user("hi"), settings={"thinking_tokens": 2000, "max_tokens": 3000})["max_tokens"] == 3000


def test_a_budget_is_left_out_where_a_step_of_the_turn_came_without_thinking() -> None:
    settings = {"thinking_tokens": 2000}
    mixed = (user("go"), asks("a", thinking=(SEALED,)), got("a"), asks("b", model="other"), got("b"))
    sent = body(*mixed, settings=settings)
    assert "thinking" not in sent
    assert [b["type"] for b in sent["messages"][1]["content"]] == ["tool_use"]
    assert "thinking" in body(*mixed, asks(text="done"), user("next"), settings=settings)


def test_newer_models_choose_for_themselves() -> None:
    sent = body(user("hi"), settings={"thinking": "adaptive", "effort": "low"}, temperature=0.2)
    assert sent["thinking"] == {"type": "adaptive"}
    assert sent["output_config"] == {"effort": "low"}
    assert "temperature" not in sent
    assert body(user("hi"), settings={"thinking": "disabled"}, temperature=2.0)["temperature"] == 1.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"thinking": "adaptive", "thinking_tokens": 2000}, "not both"),
        ({"thinking_tokens": 2000, "max_tokens": 2000}, "must be above thinking_tokens"),
        ({"thinking_tokens": 2000, "temperature": 1}, "takes no temperature"),
        ({"thinking_tokens": 1000}, "1024"),
        ({"temperature": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_section_that_the_api_would_refuse_is_refused_at_start(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**settings)


# --- tools and form


def test_tools_are_offered_with_their_schema() -> None:
    assert body(user("hi"), tools=(LOOK,))["tools"] == [
        {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
    ]


def test_calls_of_the_past_are_declared_where_no_tools_are_offered() -> None:
    sent = body(user("go"), asks("a"), got("a"), user("sum up"))
    assert sent["tools"] == [{"name": "look", "input_schema": {"type": "object"}}]
    assert sent["tool_choice"] == {"type": "none"}


def test_an_answer_of_a_given_form_is_asked_for_with_every_object_closed() -> None:
    nested = OutputSchema(
        name="n",
        schema={
            "type": "object",
            "properties": {"cats": {"type": "array", "items": {"type": "object"}}},
            "additionalProperties": False,
        },
    )
    schema = body(user("hi"), schema=nested)["output_config"]["format"]
    assert schema["type"] == "json_schema"
    assert schema["schema"]["properties"]["cats"]["items"] == {
        "type": "object",
        "additionalProperties": False,
    }


def test_older_models_are_made_to_call_a_tool_for_it() -> None:
    settings = {"json_output": "tool", "thinking_tokens": 2000}
    sent = body(user("hi"), settings=settings, schema=FORM)
    assert sent["tools"][0]["name"] == "answer_in_form"
    assert sent["tools"][0]["input_schema"] == dict(FORM.schema)
    assert sent["tool_choice"] == {"type": "tool", "name": "answer_in_form"}
    assert "thinking" not in sent  # a forced call and a budget exclude each other
    assert "output_config" not in sent
    among_others = body(user("hi"), settings=settings, schema=FORM, tools=(LOOK,))
    assert among_others["tool_choice"] == {"type": "any"}


def test_servers_that_know_neither_are_told_the_form_in_words() -> None:
    sent = body(SystemMessage("Be brief."), user("hi"), settings={"json_output": "none"}, schema=FORM)
    assert sent["system"][0]["text"].startswith("Be brief.\n\n")
    assert '"required": ["name"]' in sent["system"][0]["text"]
    assert not {"output_config", "tools"} & set(sent)


# --- cache


def _marks(value: Any) -> int:
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(_marks(part) for part in value.values())
    return sum(_marks(part) for part in value) if isinstance(value, list) else 0


def test_what_requests_have_in_common_is_marked_for_the_cache_at_most_four_times() -> None:
    messages = (SystemMessage("S"), user("one"), asks("a"), got("a"), asks("b"), got("b"))
    sent = body(*messages, settings={"prompt_cache": True}, tools=(LOOK, LOOK))
    assert sent["system"][-1] == {**text("S"), **MARK}
    assert "cache_control" not in sent["tools"][0]
    assert sent["tools"][1]["cache_control"] == MARK["cache_control"]
    assert sent["messages"][2]["content"] == [
        {**result("a"), **MARK}
    ]  # where the request before this one ended
    assert sent["messages"][4]["content"] == [{**result("b"), **MARK}]
    assert _marks(sent) == 4
    assert _marks(body(*messages, tools=(LOOK,))) == 0


# --- headers and address


def test_headers_carry_key_version_and_beta() -> None:
    assert AnthropicFormat(("one", "two")).headers(Secret("k", "here")) == {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "one,two",
        "x-api-key": "k",
    }
    assert AnthropicFormat().headers(None) == {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"base_url": "https://a.example"}, "https://a.example/v1/messages"),
        ({"base_url": "https://a.example/v1/"}, "https://a.example/v1/messages"),
        ({"base_url": "https://a.example/anthropic"}, "https://a.example/anthropic/v1/messages"),
        ({"base_url": None, "endpoint": "https://a.example/v1"}, "https://a.example/v1"),
    ],
)
def test_the_address_is_found_with_and_without_the_version(settings: dict[str, Any], url: str) -> None:
    assert config(**settings).url == url


@pytest.mark.parametrize(
    ("must_call", "choice"),
    [((), None), (("look",), {"type": "tool", "name": "look"}), (("look", "hear"), {"type": "any"})],
)
def test_a_call_is_insisted_on_by_name_or_as_any_and_then_without_thinking(
    must_call: tuple[str, ...], choice: Any
) -> None:
    settings = {"thinking_tokens": 2000, "max_tokens": 4000}
    sent = body(user("hi"), settings=settings, tools=(LOOK,), must_call=must_call)
    assert sent.get("tool_choice") == choice
    assert ("thinking" in sent) is not bool(must_call)


def test_where_the_answer_ends_is_sent() -> None:
    assert body(user("hi"), stop=("END",))["stop_sequences"] == ["END"]
