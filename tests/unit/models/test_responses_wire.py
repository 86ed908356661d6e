"""Requests in the format of OpenAI's Responses, by example."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from clawd.messages import File, Image, Part, Text
from clawd.models.base import (
    AssistantMessage,
    ChatMessage,
    ModelRequest,
    OutputSchema,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from clawd.models.responses_config import ResponsesConfig
from clawd.models.responses_wire import request_body
from clawd.response import Thinking, ToolCall
from clawd.tools.base import ToolSpec

LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"}, effect="pure")
SEALED = Thinking(id="rs_1", text="hm", data="sealed")


def config(**settings: Any) -> ResponsesConfig:
    settings = {"base_url": "https://api.example.com/v1", **settings}
    return ResponsesConfig(name="gpt", type="responses", **settings)


def user(*parts: Part | str) -> UserMessage:
    return UserMessage(tuple(Text(part) if isinstance(part, str) else part for part in parts))


def asks(*calls: str, text: str = "", thinking: tuple[Thinking, ...] = (), model: str = "gpt") -> ChatMessage:
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


def items(*messages: ChatMessage, **settings: Any) -> list[Any]:
    found: list[Any] = body(*messages, settings=settings)["input"]
    return found


def call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": '{"at": 1}'}


def reasoning(item_id: str, data: str, *summary: str) -> dict[str, Any]:
    told = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": item_id, "summary": told, "encrypted_content": data}


def test_a_plain_request_is_kept_nowhere() -> None:
    assert body(SystemMessage("One."), SystemMessage("Two."), user("hi", "there")) == {
        "model": "gpt",
        "instructions": "One.\n\nTwo.",
        "input": [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "hi"}, {"type": "input_text", "text": "there"}],
            }
        ],
        "stream": True,
        "store": False,
    }


def test_calls_and_results_are_items_of_their_own() -> None:
    assert items(user("go"), asks("a", "b", text="I look."), got("b"), got("a", ""), asks(text="Done."))[
        1:
    ] == [
        {"role": "assistant", "content": "I look."},
        call("a"),
        call("b"),
        {"type": "function_call_output", "call_id": "a", "output": ""},
        {"type": "function_call_output", "call_id": "b", "output": "seen"},
        {"role": "assistant", "content": "Done."},
    ]


def test_empty_texts_are_left_out_and_some_input_is_always_there() -> None:
    assert items(user(" "), asks(text=" ")) == [
        {"role": "user", "content": [{"type": "input_text", "text": "…"}]}
    ]


@pytest.mark.parametrize("ref", ["https://example.com/cat.png", "data:image/png;base64,aGk="])
def test_a_picture_is_sent_where_its_reference_can_be(ref: str) -> None:
    picture = {"type": "input_image", "image_url": ref, "detail": "auto"}
    assert items(user("see", Image(ref=ref)))[0]["content"][1] == picture
    assert items(user(Image(ref=ref)), vision=False)[0]["content"][0]["text"] == "[image]"


def test_of_other_parts_the_model_learns_that_they_were_there() -> None:
    content = items(user(Image(ref="AgAC"), File(ref="x")))[0]["content"]
    assert [part["text"] for part in content] == ["[image]", "[file]"]


def test_reasoning_goes_back_sealed_in_its_place_with_all_parts_of_its_summary() -> None:
    thinking = (
        Thinking(id="rs_1", text="one", data="sealed"),
        Thinking(id="rs_1", text="two"),
        Thinking(id="rs_2", data="more", after_calls=1),
    )
    assert items(user("go"), asks("a", "b", thinking=thinking), got("a"), got("b"))[1:5] == [
        reasoning("rs_1", "sealed", "one", "two"),
        call("a"),
        reasoning("rs_2", "more"),
        call("b"),
    ]


@pytest.mark.parametrize(
    "step",
    [
        asks("a", thinking=(SEALED,), model="other"),
        asks("a", thinking=(Thinking(id="rs_1", text="without a seal it is known nowhere"),)),
        asks("a", thinking=(Thinking(text="of another format", signature="sig"),)),
    ],
)
def test_reasoning_that_the_api_would_refuse_is_left_out(step: ChatMessage) -> None:
    assert items(user("go"), step, got("a"))[1] == call("a")


def test_reasoning_of_earlier_turns_is_left_out() -> None:
    step = asks("a", thinking=(SEALED,))
    sent = items(user("go"), step, got("a"), asks(text="done"), user("next"), step, got("a"))
    assert [item.get("type") for item in sent] == [
        None, "function_call", "function_call_output", None,
        None, "reasoning", "function_call", "function_call_output",
    ]  # fmt: skip


def test_a_model_that_reasons_is_asked_for_the_seal_and_takes_no_temperature() -> None:
    sent = body(user("hi"), settings={"reasoning": {"effort": "low", "summary": "auto"}}, temperature=0.3)
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert "temperature" not in sent
    assert body(user("hi"), settings={"reasoning": {}})["reasoning"] == {}


def test_a_model_that_does_not_reason_is_told_nothing_of_it() -> None:
    sent = body(user("hi"), temperature=0.3)
    assert sent["temperature"] == 0.3
    assert not {"reasoning", "include"} & set(sent)
    off = body(user("hi"), settings={"reasoning": {"effort": "none"}, "temperature": 0.1})
    assert (off["reasoning"], off["temperature"]) == ({"effort": "none"}, 0.1)
    assert "include" not in off
    with pytest.raises(ValidationError, match="takes no temperature"):
        config(reasoning={}, temperature=0.3)


def test_tools_limit_and_form() -> None:
    form = OutputSchema(name="cat", schema={"type": "object"}, strict=False)
    sent = body(user("hi"), tools=(LOOK,), schema=form, max_tokens=3)
    assert sent["tools"] == [
        {
            "type": "function",
            "name": "look",
            "description": "Looks.",
            "parameters": {"type": "object"},
            "strict": False,
        }
    ]
    assert sent["text"] == {
        "format": {"type": "json_schema", "name": "cat", "schema": {"type": "object"}, "strict": False}
    }
    assert sent["max_output_tokens"] == 16  # the API takes no smaller one


def test_servers_that_take_no_schema_are_told_it_in_words() -> None:
    form = OutputSchema(name="cat", schema={"type": "object"})
    sent = body(user("hi"), settings={"json_output": "object"}, schema=form)
    assert sent["text"] == {"format": {"type": "json_object"}}
    assert '{"type": "object"}' in sent["instructions"]
    sent = body(user("hi"), settings={"json_output": "none"}, schema=form)
    assert "text" not in sent
    assert '{"type": "object"}' in sent["instructions"]


@pytest.mark.parametrize(
    ("must_call", "choice"),
    [((), None), (("look",), {"type": "function", "name": "look"}), (("look", "hear"), "required")],
)
def test_a_call_is_insisted_on_by_name_or_as_any(must_call: tuple[str, ...], choice: Any) -> None:
    assert body(user("hi"), tools=(LOOK,), must_call=must_call).get("tool_choice") == choice
