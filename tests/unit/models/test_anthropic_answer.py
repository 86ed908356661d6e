"""Answers in Anthropic's format, by recorded events."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.models.anthropic_answer import AnthropicFold
from clawd.models.base import Progress, TextDelta, ToolCall, Usage
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.response import Thinking

if TYPE_CHECKING:
    from clawd.models.base import ModelEvent, ModelResponse

Recorded = dict[str, Any]

START: Recorded = {
    "type": "message_start",
    "message": {
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {
            "input_tokens": 25, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 2000,
            "output_tokens": 1,
        },
    },
}  # fmt: skip
STOP: Recorded = {"type": "message_stop"}


def begin(index: int, **block: Any) -> Recorded:
    return {"type": "content_block_start", "index": index, "content_block": block}


def more(index: int, **delta: Any) -> Recorded:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def end(index: int) -> Recorded:
    return {"type": "content_block_stop", "index": index}


def why(reason: str, **usage: Any) -> Recorded:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 42, **usage}}


def spoken(index: int, *pieces: str) -> list[Recorded]:
    deltas = [more(index, type="text_delta", text=piece) for piece in pieces]
    return [begin(index, type="text", text=""), *deltas, end(index)]


def called(index: int, call_id: str, *pieces: str, name: str = "look") -> list[Recorded]:
    deltas = [more(index, type="input_json_delta", partial_json=piece) for piece in ("", *pieces)]
    return [begin(index, type="tool_use", id=call_id, name=name, input={}), *deltas, end(index)]


def thought(index: int, text: str, signature: str) -> list[Recorded]:
    return [
        begin(index, type="thinking", thinking="", signature=""),
        more(index, type="thinking_delta", thinking=text),
        more(index, type="signature_delta", signature=signature[:2]),
        more(index, type="signature_delta", signature=signature[2:]),
        end(index),
    ]


def fold(*recorded: Recorded, whole: Recorded | None = None) -> tuple[AnthropicFold, list[ModelEvent]]:
    collected, events = AnthropicFold("claude"), []
    for data in recorded:
        events += collected.add(data["type"], data)
    if whole is not None:
        events += collected.add("", whole)
    return collected, events


def answer(*recorded: Recorded) -> ModelResponse:
    collected, _ = fold(*recorded)
    assert collected.finished
    return collected.response()


# --- good answers


def test_text_streams_and_the_input_is_counted_whole() -> None:
    collected, events = fold(START, *spoken(0, "Hel", "lo"), why("end_turn"), STOP)
    assert events == [TextDelta("Hel"), TextDelta("lo")]
    response = collected.response()
    assert (response.text, response.finish, response.model) == ("Hello", "stop", "claude")
    assert response.usage == Usage(
        input_tokens=2125, output_tokens=42, cached_tokens=2000, cache_write_tokens=100
    )


def test_the_counts_at_the_end_hold_and_thinking_is_counted_apart() -> None:
    details = {"output_tokens_details": {"thinking_tokens": 30}}
    usage = answer(START, *spoken(0, "x"), why("end_turn", input_tokens=26, **details), STOP).usage
    assert (usage.input_tokens, usage.thinking_tokens) == (2126, 30)


def test_calls_stream_in_parallel_and_keep_their_order() -> None:
    collected, events = fold(
        START,
        *spoken(0, "I look."),
        begin(1, type="tool_use", id="a", name="look", input={}),
        begin(2, type="tool_use", id="b", name="look", input={}),
        more(2, type="input_json_delta", partial_json='{"at"'),
        more(1, type="input_json_delta", partial_json='{"at": 1}'),
        more(2, type="input_json_delta", partial_json=": 2}"),
        end(1),
        end(2),
        why("tool_use"),
        STOP,
    )
    response = collected.response()
    assert response.tool_calls == (
        ToolCall(id="a", name="look", arguments='{"at": 1}'),
        ToolCall(id="b", name="look", arguments='{"at": 2}'),
    )
    assert response.finish == "tool_calls"
    assert events.count(Progress("tool_call")) == 5


def test_a_call_without_input_has_empty_arguments() -> None:
    assert answer(START, *called(0, "a"), why("tool_use"), STOP).tool_calls[0].arguments == "{}"


def test_input_that_comes_with_the_start_of_a_call_is_taken() -> None:
    started = begin(0, type="tool_use", id="a", name="look", input={"at": 1})
    assert answer(START, started, end(0), why("tool_use"), STOP).tool_calls[0].arguments == '{"at": 1}'


def test_thinking_is_kept_with_its_seal_and_its_place() -> None:
    collected, events = fold(
        START,
        *thought(0, "hm", "sig1"),
        begin(1, type="redacted_thinking", data="secret"),
        end(1),
        *spoken(2, "I look."),
        *called(3, "a", "{}"),
        *thought(4, "and", "sig2"),
        *called(5, "b", "{}"),
        why("tool_use"),
        STOP,
    )
    assert collected.response().thinking == (
        Thinking(text="hm", signature="sig1"),
        Thinking(data="secret"),
        Thinking(text="and", signature="sig2", after_text=7, after_calls=1),
    )
    assert events[0] == Progress("thinking")


def test_thinking_of_an_answer_without_calls_is_not_kept() -> None:
    assert answer(START, *thought(0, "hm", "sig1"), *spoken(1, "x"), why("end_turn"), STOP).thinking == ()


def test_a_ping_is_a_keep_alive_and_unknown_events_and_fields_are_nothing() -> None:
    strange: list[Recorded] = [
        {"type": "ping"},
        {"type": "from_the_future", "x": 1},
        begin(0, type="server_thing", id="s"),
        more(0, type="thing_delta", thing="?"),
        end(0),
        *spoken(1, "x"),
        more(1, type="citations_delta", citation={}),
        {**why("end_turn"), "context_management": {}},
        STOP,
    ]
    collected, events = fold(START, *strange)
    assert events[0] == Progress("keepalive")
    assert collected.response().text == "x"


def test_a_name_beside_the_data_serves_where_the_type_is_missing() -> None:
    collected = AnthropicFold("claude")
    collected.add("content_block_delta", {"delta": {"type": "text_delta", "text": "x"}})
    collected.add("message_stop", {})
    assert collected.finished
    assert collected.response().text == "x"


def test_a_character_cut_in_two_is_joined() -> None:
    assert answer(START, *spoken(0, "\ud83d", "\ude00!"), why("end_turn"), STOP).text == "😀!"


def test_a_whole_message_is_read_too() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "a", "name": "look", "input": {"at": 1}},
    ]
    usage = {"input_tokens": 5, "output_tokens": 6}
    message = {"type": "message", "content": content, "stop_reason": "tool_use", "usage": usage}
    collected, events = fold(whole=message)
    response = collected.response()
    assert collected.finished
    assert TextDelta("I look.") in events
    assert response.tool_calls == (ToolCall(id="a", name="look", arguments='{"at": 1}'),)
    assert response.thinking == (Thinking(text="hm", signature="sig"),)
    assert response.usage == Usage(input_tokens=5, output_tokens=6)


# --- the form of an answer


def test_the_input_of_the_answers_tool_is_the_answer() -> None:
    collected, events = fold(
        START, *called(0, "a", '{"na', 'me": "Tom"}', name="answer_in_form"), why("tool_use"), STOP
    )
    response = collected.response()
    assert [e.text for e in events if isinstance(e, TextDelta)] == ['{"na', 'me": "Tom"}']
    assert json.loads(response.text) == {"name": "Tom"}
    assert (response.tool_calls, response.finish) == ((), "stop")


def test_the_answers_tool_in_a_whole_message_is_the_answer_too() -> None:
    content = [{"type": "tool_use", "id": "a", "name": "answer_in_form", "input": {"name": "Tom"}}]
    collected, _ = fold(whole={"type": "message", "content": content, "stop_reason": "tool_use"})
    assert json.loads(collected.response().text) == {"name": "Tom"}


# --- how it ends


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("from_the_future", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "filtered"),
    ],
)
def test_every_reason_to_stop_has_a_meaning(reason: str, finish: str) -> None:
    assert answer(START, *spoken(0, "x"), why(reason), STOP).finish == finish


def test_a_refused_answer_has_no_calls() -> None:
    response = answer(START, *spoken(0, "x"), *called(1, "a", "{}"), why("refusal"), STOP)
    assert (response.tool_calls, response.finish) == ((), "filtered")


def test_a_call_that_the_limit_cut_off_is_none() -> None:
    response = answer(START, *called(0, "a", "{}"), *called(1, "b", '{"at": "hal'), why("max_tokens"), STOP)
    assert [call.id for call in response.tool_calls] == ["a"]
    assert response.finish == "length"


def test_a_call_whose_arguments_never_came_is_none() -> None:
    response = answer(START, *called(0, "a", "{}"), *called(1, "b"), why("max_tokens"), STOP)
    assert [call.id for call in response.tool_calls] == ["a"]


def test_an_answer_beyond_all_measure_is_refused() -> None:
    huge = [more(0, type="input_json_delta", partial_json="x" * 1_000_000) for _ in range(5)]
    with pytest.raises(MalformedAnswer, match="characters"):
        fold(START, *called(0, "a"), *huge)
    with pytest.raises(MalformedAnswer, match="blocks"):
        fold(START, *(begin(index, type="text") for index in range(2000)))


def test_thinking_beyond_all_measure_is_not_kept() -> None:
    pieces = [more(0, type="thinking_delta", thinking="x" * 1_000_000) for _ in range(5)]
    response = answer(
        START, *thought(0, "hm", "sig"), *pieces, *thought(1, "hm", "sig"), *called(2, "a"), why("tool_use")
    )
    assert (response.thinking, len(response.tool_calls)) == ((), 1)


def test_a_call_with_broken_json_is_kept_where_the_model_meant_it() -> None:
    response = answer(START, *called(0, "a", "{broken"), why("tool_use"), STOP)
    assert response.tool_calls[0].arguments == "{broken"


def test_a_full_window_without_a_word_is_told_apart() -> None:
    collected = AnthropicFold("claude")
    with pytest.raises(ProviderFault) as caught:
        collected.add("", why("model_context_window_exceeded"))
    assert caught.value.error == {
        "code": "context_length_exceeded",
        "message": "the model's context window was full before the first visible word",
    }
    assert not collected.finished


def test_an_answer_is_not_finished_before_the_provider_says_so() -> None:
    assert not fold(START, *spoken(0, "x"))[0].finished
    assert not fold(START, *called(0, "a", "{}"))[0].finished


@pytest.mark.parametrize("data", [None, 5, [], "x", {}, {"hello": 1}])
def test_what_is_nothing_of_the_format_is_refused(data: Any) -> None:
    with pytest.raises(MalformedAnswer):
        AnthropicFold("claude").add("", data)


@pytest.mark.parametrize(
    "data",
    [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"error": {"type": "overloaded_error", "message": "Overloaded"}},
    ],
)
def test_an_error_is_the_providers(data: Any) -> None:
    with pytest.raises(ProviderFault) as caught:
        AnthropicFold("claude").add("error", data)
    assert caught.value.error == {"type": "overloaded_error", "message": "Overloaded"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_TYPES = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
     "message_stop", "message", "ping", "text", "text_delta", "tool_use", "input_json_delta", "thinking"]
)  # fmt: skip
_FIELDS = st.fixed_dictionaries(
    {"type": _TYPES},
    optional={
        name: _JSON
        | st.fixed_dictionaries({"type": _TYPES}, optional={"text": _JSON, "id": _JSON, "input": _JSON})
        for name in ("index", "delta", "content_block", "message", "content", "usage", "stop_reason")
    },
)


@settings(max_examples=25, deadline=None)
@given(st.lists(_FIELDS, max_size=6))
def test_whatever_comes_is_read_or_refused(recorded: list[Recorded]) -> None:
    collected = AnthropicFold("claude")
    for data in recorded:
        with suppress(MalformedAnswer, ProviderFault):
            collected.add("", data)
    collected.response()
