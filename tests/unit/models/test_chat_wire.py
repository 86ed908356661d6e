from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.messages import Image, Text
from clawd.models.base import (
    AssistantMessage,
    ModelRequest,
    Progress,
    SystemMessage,
    TextDelta,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from clawd.models.chat_config import ChatConfig
from clawd.models.chat_fold import ChatFold
from clawd.models.chat_request import request_body
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.tools.base import ToolSpec

if TYPE_CHECKING:
    from clawd.models.base import ModelEvent


def _chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def _fold(*chunks: Any) -> tuple[ChatFold, list[ModelEvent]]:
    fold = ChatFold("m")
    return fold, [event for chunk in chunks for event in fold.add("", chunk)]


def _call(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    call: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        call["index"] = index
    if call_id is not None:
        call["id"] = call_id
    return call


# --- request


def test_a_request_holds_every_kind_of_message() -> None:
    config = ChatConfig(
        name="m", type="chat", base_url="http://h/v1", model="big", max_tokens=50, temperature=0.5
    )
    spec = ToolSpec(name="time", description="d", parameters={"type": "object"}, effect="pure")
    request = ModelRequest(
        messages=(
            SystemMessage("be brief"),
            UserMessage((Text("look"), Image(ref="x"))),
            AssistantMessage(
                text="", tool_calls=(ToolCall(id="1", name="time", arguments='{"zone":"UTC"}'),)
            ),
            ToolMessage(call_id="1", name="time", text="noon"),
            AssistantMessage(text="noon"),
        ),
        tools=(spec,),
    )

    body = request_body(config, request)

    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "look\n[image]"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "time", "arguments": '{"zone":"UTC"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
        {"role": "assistant", "content": "noon"},
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "time", "description": "d", "parameters": {"type": "object"}},
        }
    ]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("big", 50, 0.5)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


def test_a_request_without_settings_sends_none() -> None:
    body = request_body(ChatConfig(name="m", type="chat", endpoint="http://h/x"), ModelRequest(messages=()))
    assert set(body) == {"model", "messages", "stream", "stream_options"}
    assert body["model"] == "m"


def test_the_request_wins_over_the_configuration() -> None:
    config = ChatConfig(
        name="m", type="chat", base_url="http://h/v1", max_tokens=50, max_tokens_field="max_completion_tokens"
    )
    body = request_body(config, ModelRequest(messages=(), max_tokens=5, temperature=0.0))
    assert (body["max_completion_tokens"], body["temperature"]) == (5, 0.0)
    assert "max_tokens" not in body


def test_broken_arguments_of_an_earlier_call_are_sent_as_an_object() -> None:
    calls = (ToolCall(id="1", name="t", arguments='{"a": '), ToolCall(id="2", name="t", arguments=""))
    request = ModelRequest(messages=(AssistantMessage(text="", tool_calls=calls),))
    body: Any = request_body(ChatConfig(name="m", type="chat", base_url="http://h"), request)
    sent = [call["function"]["arguments"] for call in body["messages"][0]["tool_calls"]]
    assert [json.loads(text) for text in sent] == [{"not_json": '{"a": '}, {}]


# --- answer


def test_text_reasoning_and_usage_are_told_apart() -> None:
    fold, events = _fold(
        _chunk({"role": "assistant", "content": None}),
        _chunk({"reasoning_content": "hm"}),
        _chunk({"reasoning": "hm"}),
        _chunk({"content": "Hel"}),
        _chunk({"content": "lo"}),
        _chunk({}, "stop"),
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 1},
            },
        },
    )
    response = fold.response()
    assert events == [Progress("thinking"), Progress("thinking"), TextDelta("Hel"), TextDelta("lo")]
    assert (response.text, response.finish) == ("Hello", "stop")
    assert response.usage == Usage(input_tokens=3, output_tokens=2, cached_tokens=1)


def test_usage_in_every_chunk_counts_once_and_nonsense_counts_as_unknown() -> None:
    fold, _ = _fold(
        _chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
        _chunk(
            {"content": "b"},
            "stop",
            usage={"prompt_tokens": 3, "completion_tokens": 2, "prompt_cache_hit_tokens": 2},
        ),
    )
    assert fold.response().usage == Usage(input_tokens=3, output_tokens=2, cached_tokens=2)
    fold, _ = _fold(_chunk({"content": "a"}, "stop", usage={"prompt_tokens": -1, "completion_tokens": "7"}))
    assert fold.response().usage == Usage()


def test_parallel_calls_come_together_from_interleaved_fragments() -> None:
    fold, _ = _fold(
        _chunk({"tool_calls": [_call(0, "a", "one", "")]}),
        _chunk({"tool_calls": [_call(1, "b", "two", '{"y"')]}),
        _chunk({"tool_calls": [_call(0, None, None, '{"x": 1}')]}),
        _chunk({"tool_calls": [_call(1, None, None, ": 2}")]}),
        _chunk({}, "tool_calls"),
    )
    assert fold.response().tool_calls == (
        ToolCall(id="a", name="one", arguments='{"x": 1}'),
        ToolCall(id="b", name="two", arguments='{"y": 2}'),
    )
    assert fold.response().finish == "tool_calls"


@pytest.mark.parametrize("index", [0, None])
def test_whole_calls_under_one_index_are_told_apart_by_their_ids(index: int | None) -> None:
    fold, _ = _fold(
        _chunk({"tool_calls": [_call(index, "a", "one", "{}"), _call(index, "b", "two", {"z": 1})]}, "stop")
    )
    response = fold.response()
    assert [(c.id, c.name, c.arguments) for c in response.tool_calls] == [
        ("a", "one", "{}"),
        ("b", "two", '{"z": 1}'),
    ]
    assert response.finish == "tool_calls"


def test_missing_and_double_ids_become_unique_and_nameless_calls_vanish() -> None:
    fold, _ = _fold(
        _chunk({"tool_calls": [_call(0, "a", "one", "{}"), _call(1, "a", "two", "{}")]}),
        _chunk({"tool_calls": [_call(2, None, "three", "{}"), _call(3, "d", None, "{}")]}, "tool_calls"),
    )
    assert [c.id for c in fold.response().tool_calls] == ["a", "a_2", "call_3"]


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "filtered"),
        ("end_turn", "stop"),
        ("tool_calls", "stop"),
    ],
)
def test_the_finish_reason_follows_what_came(word: str, finish: str) -> None:
    fold, _ = _fold(_chunk({"content": "x"}, word))
    assert fold.response().finish == finish


def test_a_whole_completion_is_taken_like_a_chunk() -> None:
    fold, events = _fold(
        {
            "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1},
        }
    )
    assert fold.finished
    assert events == [TextDelta("hi")]


def test_only_the_first_choice_is_read() -> None:
    chunk = {
        "choices": [
            {"index": 1, "delta": {"content": "no"}},
            {"index": 0, "delta": {"content": [{"type": "text", "text": "yes"}]}},
        ]
    }
    assert _fold(chunk)[0].response().text == "yes"


def test_an_error_object_is_no_answer() -> None:
    with pytest.raises(ProviderFault) as caught:
        _fold(_chunk({"content": "a"}), {"error": {"message": "overloaded"}})
    assert caught.value.error == {"message": "overloaded"}


@pytest.mark.parametrize("chunk", [None, 3, "text", [], {"choices": "none"}, {"choices": {}}])
def test_what_is_no_chunk_is_malformed(chunk: Any) -> None:
    with pytest.raises(MalformedAnswer):
        _fold(chunk)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "delta", "message", "content", "index", "finish_reason", "tool_calls", "function",
             "name", "arguments", "id", "usage", "prompt_tokens_details", "error", "reasoning", "text",
             "reasoning_content", "reasoning_details", "extra_content", "thinking", "timings", "type", "message"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@given(st.lists(_JSON, max_size=4))
def test_no_json_whatsoever_breaks_the_fold(chunks: list[Any]) -> None:
    fold = ChatFold("m")
    for chunk in chunks:
        try:
            fold.add("", chunk)
        except (MalformedAnswer, ProviderFault):
            return
    with suppress(MalformedAnswer):
        fold.response()


# --- what no provider and no platform takes


def test_characters_cut_in_halves_between_deltas_are_joined() -> None:
    fold, events = _fold(_chunk({"content": "a\ud83d"}), _chunk({"content": "\ude00\ud800b"}, "stop"))
    assert events == [TextDelta("a"), TextDelta("\U0001f600\ufffdb")]
    assert fold.response().text == "a\U0001f600\ufffdb"


def test_half_characters_in_a_tool_call_are_replaced() -> None:
    fold, _ = _fold(_chunk({"tool_calls": [_call(0, "i\ud800", "n\udc00", '{"x": "\ud83d')]}, None))
    fold.add("", _chunk({"tool_calls": [_call(0, None, None, '\ude00"}')]}, "tool_calls"))
    (call,) = fold.response().tool_calls
    assert call == ToolCall(id="i\ufffd", name="n\ufffd", arguments='{"x": "\U0001f600"}')


@pytest.mark.parametrize("arguments", ['{"a":' * 20_000, '{"a":' * 20_000 + "1" + "}" * 20_000])
def test_arguments_of_any_depth_can_be_told_to_the_provider(arguments: str) -> None:
    call = ToolCall(id="c", name="x", arguments=arguments)
    body: Any = request_body(
        ChatConfig(name="m", type="chat", base_url="http://h/v1"),
        ModelRequest(messages=(AssistantMessage(text="", tool_calls=(call,)),)),
    )
    sent = body["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent) == {"not_json": arguments}


def test_a_name_that_no_provider_takes_is_made_fit() -> None:
    call = ToolCall(id="c", name="functions.rm -rf\x1b[31m" + "x" * 100, arguments="{}")
    body: Any = request_body(
        ChatConfig(name="m", type="chat", base_url="http://h/v1"),
        ModelRequest(messages=(AssistantMessage(text="", tool_calls=(call,)),)),
    )
    name = body["messages"][0]["tool_calls"][0]["function"]["name"]
    assert name.startswith("functions_rm_-rf__31mxxx")
    assert len(name) == 64
