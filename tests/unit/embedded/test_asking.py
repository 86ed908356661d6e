"""What a program may ask, as a request; what it may not, as an error."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel

from clawd.embedded.asking import Ask, request_of
from clawd.embedded.parsing import AnswerMismatch, answer_of, output_schema
from clawd.messages import Image, Text
from clawd.models.base import AssistantMessage, RequestTags, SystemMessage, ToolMessage, UserMessage
from clawd.response import ModelResponse, ToolCall

PNG = b"\x89PNG\r\n\x1a\n rest"


class City(BaseModel):
    name: str
    people: int


def _request(**ask: Any) -> Any:
    return request_of(cast("Ask", ask))


def _said(text: str, **more: Any) -> ModelResponse:
    return ModelResponse(model="m", text=text, **more)


def test_the_usual_call_becomes_a_request() -> None:
    request = _request(model_name="claude-3", prompt="Hello", user_id="user_123", conversation_id="c")
    assert request.messages == (UserMessage((Text("Hello"),)),)
    assert (request.pin, request.route, request.strict) == ("claude-3", "default", False)
    assert request.tags == RequestTags(user="user_123", conversation="c")


def test_instructions_come_first_then_what_was_said_then_the_prompt() -> None:
    request = _request(
        system="Be brief.",
        messages=[
            {"role": "user", "content": "2+2?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "sum", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "4"},
            AssistantMessage(text="It is 4."),
        ],
        prompt="And 3+3?",
    )
    assert request.messages == (
        SystemMessage("Be brief."),
        UserMessage((Text("2+2?"),)),
        AssistantMessage(text="", tool_calls=(ToolCall(id="1", name="sum", arguments="{}"),)),
        ToolMessage(call_id="1", name="sum", text="4"),
        AssistantMessage(text="It is 4."),
        UserMessage((Text("And 3+3?"),)),
    )


def test_pictures_may_be_urls_files_and_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    request = _request(prompt="What is it?", images=["https://example.com/a.jpg", file, str(file), PNG, data])
    (message,) = request.messages
    assert [part.ref for part in message.parts if isinstance(part, Image)] == [
        "https://example.com/a.jpg",
        data,
        data,
        data,
        data,
    ]


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        ({}, ValueError, "nothing is asked"),
        ({"prompt": ""}, ValueError, "nothing is asked"),
        ({"promt": "hi"}, TypeError, "unknown argument 'promt'"),
        ({"prompt": 3}, TypeError, "prompt is text, not int"),
        ({"messages": [{"role": "boss", "content": "x"}]}, ValueError, "not 'boss'"),
        ({"messages": ["hi"]}, TypeError, "not str"),
        ({"messages": [{"role": "user", "content": 3}]}, ValueError, "not int"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, ValueError, "text or image_url"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, ValueError, "a tool call has an id"),
        ({"prompt": "x", "images": [b"BM"]}, ValueError, "PNG, JPEG, GIF or WebP"),
        ({"prompt": "x", "images": ["/nonexistent.png"]}, FileNotFoundError, "nonexistent"),
        ({"prompt": "x", "schema": 3}, TypeError, "pydantic model or a JSON Schema"),
        ({"prompt": "x", "max_tokens": "x"}, TypeError, "max_tokens is a whole number, not str"),
        ({"prompt": "x", "max_tokens": True}, TypeError, "max_tokens is a whole number, not bool"),
        ({"prompt": "x", "max_tokens": -1}, ValueError, "max_tokens is at least 1, not -1"),
        ({"prompt": "x", "temperature": 9}, ValueError, "temperature is from 0 to 2, not 9"),
        ({"prompt": "x", "temperature": float("nan")}, ValueError, "temperature is from 0 to 2, not nan"),
        ({"prompt": "x", "temperature": "hot"}, TypeError, "temperature is a number, not str"),
        ({"prompt": "x", "images": "nosuch.png"}, TypeError, r"images is a list, not str; write images="),
        ({"messages": {"role": "user"}}, TypeError, "messages is a list, not dict"),
        ({"prompt": "x", "strict": "yes"}, TypeError, "strict is True or False, not str"),
        ({"prompt": "x", "model_name": 5}, TypeError, "model_name is text, not int"),
    ],
)
def test_what_can_not_be_asked_is_told(ask: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        _request(**ask)


def test_a_pydantic_model_and_a_json_schema_ask_for_a_form() -> None:
    asked = _request(prompt="x", schema=City).schema
    assert (asked.name, asked.schema["required"]) == ("City", ["name", "people"])
    assert output_schema({"title": "A city!", "type": "object"}).name == "A_city_"
    assert output_schema({"type": "object"}).name == "answer"


def test_a_form_is_strict_where_every_part_of_it_is_required_and_closed() -> None:
    class Place(BaseModel):
        city: City
        near: list[City]

    class Guess(BaseModel):
        city: City
        sure: bool = False

    class Table(BaseModel):
        cells: dict[str, int]

    place = output_schema(Place)
    assert place.strict
    assert place.schema["additionalProperties"] is False
    assert place.schema["$defs"]["City"]["additionalProperties"] is False  # type: ignore[index, call-overload]
    assert not output_schema(Guess).strict
    assert not output_schema(Table).strict
    open_form = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert not output_schema(open_form).strict
    assert output_schema({**open_form, "additionalProperties": False}).strict


@pytest.mark.parametrize("wrapped", ["%s", "\n```json\n%s\n```\n"])
def test_an_answer_is_parsed_into_its_form(wrapped: str) -> None:
    response = _said(wrapped % '{"name": "Ulm", "people": 128000}')
    assert answer_of(response, City).parsed == City(name="Ulm", people=128000)
    assert answer_of(response, {"type": "object"}).parsed == {"name": "Ulm", "people": 128000}
    assert answer_of(response, None).parsed is None
    assert str(answer_of(response, City)) == response.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ulm", "Invalid JSON"),
        ('{"name": "Ulm"}', "people: Field required"),
        ('{"name": "Ulm", "people": "many"}', "people: Input should be a valid integer"),
    ],
)
def test_an_answer_of_another_form_is_an_error_that_keeps_it(text: str, words: str) -> None:
    with pytest.raises(AnswerMismatch, match=words) as raised:
        answer_of(_said(text), City)
    assert raised.value.response.text == text


def test_json_that_was_cut_off_says_so() -> None:
    with pytest.raises(AnswerMismatch, match="cut off at max_tokens"):
        answer_of(_said('{"name": "U', finish="length"), {"type": "object"})


def test_a_call_for_tools_is_no_answer_yet() -> None:
    calls = (ToolCall(id="1", name="sum", arguments="{}"),)
    assert answer_of(_said("", tool_calls=calls), City).parsed is None
