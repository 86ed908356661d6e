"""Bodies of responses: what is taken, and which field is named where one is not."""

from __future__ import annotations

from typing import Any

import pytest

from clawd.gateway.openai_errors import OpenAIRefused
from clawd.gateway.openai_parts import place_of
from clawd.gateway.openai_responses_request import read_responses
from clawd.messages import Image, Text
from clawd.models.base import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from clawd.response import ToolCall

HI: dict[str, Any] = {"model": "m", "input": "hi"}


def test_a_string_is_what_the_user_says_behind_the_instructions() -> None:
    question = read_responses({**HI, "instructions": "Be brief.", "store": True, "top_p": 1})
    assert question.messages == (SystemMessage("Be brief."), UserMessage((Text("hi"),)))
    assert question.instructed


def test_items_become_messages_and_the_calls_of_one_answer_stay_together() -> None:
    items: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "look"}, picture("https://x.invalid/a")]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
    ]
    calls = (ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="g", arguments="{}"))
    assert read_responses({**HI, "input": items}).messages == (
        UserMessage((Text("look"), Image(ref="https://x.invalid/a"))),
        AssistantMessage(text="so", tool_calls=calls),
        ToolMessage(call_id="b", name="g", text="2"),
    )


def picture(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url}


def test_functions_and_forms_are_flat() -> None:
    tool: Any = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    form: Any = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}
    question = read_responses({**HI, "tools": [tool], "text": {"format": form}})
    assert [tool.name for tool in question.tools] == ["f"]
    assert question.schema is not None
    assert (question.schema.name, question.schema.strict) == ("a", True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"input": "hi"}, "model"),
        ({**HI, "input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({**HI, "input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({**HI, "input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].call_id"),
        (
            {**HI, "input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].file_data",
        ),
        ({**HI, "background": True}, "background"),
        ({**HI, "conversation": "conv_1"}, "conversation"),
        ({**HI, "prompt": {"id": "p"}}, "prompt"),
        ({**HI, "prompt": 0}, "prompt"),
        ({**HI, "input": [{"type": "reasoning"}]}, "input"),
        ({**HI, "instructions": ["x"]}, "instructions"),
        ({**HI, "previous_response_id": 7}, "previous_response_id"),
        ({**HI, "tools": [{"type": "file_search"}]}, "tools[0].type"),
        ({**HI, "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({**HI, "max_output_tokens": "many"}, "max_output_tokens"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(OpenAIRefused) as caught:
        read_responses(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_place_of_a_part_counts_the_items_of_the_input() -> None:
    thoughts: Any = {"type": "reasoning", "summary": []}
    picture = {"type": "input_image", "image_url": "http://x.invalid/a.png"}
    said: Any = {"role": "user", "content": [{"type": "input_text", "text": "what?"}, picture]}
    question = read_responses({"model": "m", "instructions": "be brief", "input": [thoughts, said, thoughts]})
    last = question.messages[-1]
    assert isinstance(last, UserMessage)
    assert place_of(last.parts[1], 1, question.last) == "input[1].content[1].image_url"
