"""What servers that speak chat completions send beside what the reference says."""

from __future__ import annotations

from typing import Any

import pytest

from clawd.models.base import ToolCall, Usage
from clawd.models.chat_fold import ChatFold
from clawd.models.wire import MalformedAnswer, ProviderFault


def _chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def _fold(*chunks: Any) -> ChatFold:
    fold = ChatFold("m")
    for chunk in chunks:
        fold.add("", chunk)
    return fold


def _calls(*fragments: dict[str, Any], finish: str | None = "tool_calls") -> list[tuple[str, str, str]]:
    fold = _fold(*(_chunk({"tool_calls": [fragment]}) for fragment in fragments), _chunk({}, finish))
    return [(call.id, call.name, call.arguments) for call in fold.response().tool_calls]


def _fragment(name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    return {**more, "function": {"name": name, "arguments": arguments}}


# --- calls


def test_a_new_id_for_every_fragment_is_one_call() -> None:
    fragments = [_fragment("time", "", index=0, id="x1"), _fragment(None, '{"a"', index=0, id="x2")]
    assert _calls(*fragments, _fragment(None, ": 1}", index=0, id="x3")) == [("x1", "time", '{"a": 1}')]


def test_the_name_in_every_fragment_is_one_call() -> None:
    fragments = [_fragment("time", part, index=0) for part in ('{"a', '": 1', "}")]
    assert _calls(*fragments) == [("call_1", "time", '{"a": 1}')]


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_whole_calls_without_ids_are_told_apart(index: dict[str, int]) -> None:
    fragments = [_fragment("time", '{"a": 1}', **index), _fragment("time", '{"a": 2}', **index)]
    assert [arguments for _, _, arguments in _calls(*fragments)] == ['{"a": 1}', '{"a": 2}']


def test_the_same_id_in_every_fragment_is_one_call() -> None:
    fragments = [_fragment("time", '{"a"', index=0, id="x"), _fragment("", ":1}", index=0, id="x")]
    assert _calls(*fragments) == [("x", "time", '{"a":1}')]


def test_an_id_that_comes_late_is_the_calls_own() -> None:
    assert _calls(_fragment("time", "{", index=0), _fragment(None, "}", index=0, id="late")) == [
        ("late", "time", "{}")
    ]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_call_whose_arguments_were_cut_off_is_none(finish: str) -> None:
    # Run with no arguments it would be another call than the one that was meant.
    whole = _fragment("time", "{}", index=0, id="a")
    cut = _fragment("shell", "", index=1, id="b")
    assert _calls(whole, cut, finish=finish) == [("a", "time", "{}")]
    assert _calls(whole, cut) == [("a", "time", "{}"), ("b", "shell", "")]


@pytest.mark.parametrize("arguments", ["", '{"command": "rm -r', "[]"])
def test_an_end_in_the_middle_of_a_call_is_no_answer(arguments: str) -> None:
    fold = _fold(
        _chunk({"content": "I will"}), _chunk({"tool_calls": [_fragment("shell", arguments, id="a")]})
    )
    with pytest.raises(MalformedAnswer, match="in the middle of a tool call"):
        fold.response()


def test_calls_without_end_are_no_answer() -> None:
    with pytest.raises(MalformedAnswer, match="more than 256 tool calls"):
        _fold(_chunk({"tool_calls": [_fragment("time", "{}", id=f"c{n}") for n in range(300)]}))
    with pytest.raises(MalformedAnswer, match="more than 4000000 characters"):
        _calls(*(_fragment("time", "x" * 500_000, index=n % 2) for n in range(9)))


def test_a_whole_call_needs_no_finish() -> None:
    fold = _fold(_chunk({"tool_calls": [_fragment("time", '{"a": 1}', id="a")]}))
    assert fold.response().tool_calls == (ToolCall(id="a", name="time", arguments='{"a": 1}'),)


# --- usage


@pytest.mark.parametrize(
    ("chunk", "usage"),
    [
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17,
                       "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                       "completion_tokens_details": {"reasoning_tokens": 5}, "cost": 0.1}},
            Usage(input_tokens=9, output_tokens=8, cached_tokens=4, cache_write_tokens=2, thinking_tokens=5),
        ),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 6}},
            Usage(input_tokens=9, output_tokens=3, cached_tokens=6),
        ),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 6}},
            Usage(input_tokens=9, output_tokens=3, cached_tokens=6),
        ),
        # xAI and Gemini: thoughts stand in the total alone.
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 32,
                       "completion_tokens_details": {"reasoning_tokens": 20}}},
            Usage(input_tokens=9, output_tokens=23, thinking_tokens=20),
        ),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 32}},
            Usage(input_tokens=9, output_tokens=23),
        ),
        ({"x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 3}}}, Usage(input_tokens=9, output_tokens=3)),
        ({"timings": {"cache_n": 4, "prompt_n": 5, "predicted_n": 3, "predicted_ms": 1.5}},
         Usage(input_tokens=9, output_tokens=3, cached_tokens=4)),
        ({"usage": None}, Usage()),
        ({"usage": {"prompt_tokens": "9", "completion_tokens": -3, "total_tokens": True}}, Usage()),
        ({"usage": {"prompt_tokens_details": None, "completion_tokens_details": []}}, Usage()),
    ],
    ids=["openrouter", "deepseek", "moonshot", "xai", "gemini", "groq", "llama.cpp", "null", "nonsense", "nulls"],
)  # fmt: skip
def test_tokens_are_counted_in_every_spelling(chunk: dict[str, Any], usage: Usage) -> None:
    assert _fold(_chunk({"content": "x"}, "stop", **chunk)).response().usage == usage


def test_moonshot_counts_within_the_choice_and_null_takes_nothing_back() -> None:
    choice = {"delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
    fold = _fold(_chunk({"content": "x"}), {"choices": [choice]}, {"choices": [], "usage": None})
    assert fold.response().usage == Usage(input_tokens=9, output_tokens=3)


def test_a_count_wins_over_llama_cpps_measure() -> None:
    more = {"timings": {"prompt_n": 1, "predicted_n": 1}, "usage": {"prompt_tokens": 9}}
    assert _fold(_chunk({}, "stop", **more)).response().usage == Usage(input_tokens=9)


# --- ends and errors


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("model_length", "length"),
        ("model_context_window_exceeded", "length"),
        ("sensitive", "filtered"),
        ("content_filter: PROHIBITED_CONTENT", "filtered"),
        ("eos", "stop"),
    ],
)
def test_ends_are_understood_in_every_spelling(word: str, finish: str) -> None:
    assert _fold(_chunk({"content": "x"}, word)).response().finish == finish


@pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource", "network_error"])
def test_an_answer_that_the_provider_broke_off_is_no_answer(word: str) -> None:
    with pytest.raises(ProviderFault) as caught:
        _fold(_chunk({"content": "half of"}), _chunk({}, word))
    assert word in str(caught.value.error)


@pytest.mark.parametrize(
    ("event", "chunk"),
    [
        ("", {"error": {"message": "overloaded"}}),
        ("", {"error": "overloaded"}),
        ("", {"object": "error", "message": "overloaded"}),
        ("", {"code": "Throttling", "message": "overloaded", "request_id": "1"}),
        ("", {"detail": "overloaded"}),
        ("error", {"type": "server_error"}),
        ("", {"choices": [{"finish_reason": "error", "error": {"message": "overloaded"}}]}),
    ],
)
def test_errors_are_recognized_in_every_form(event: str, chunk: Any) -> None:
    with pytest.raises(ProviderFault):
        ChatFold("m").add(event, chunk)


@pytest.mark.parametrize(
    "chunk", [{}, {"choices": None}, {"choices": []}, {"id": "x"}, _chunk(None), _chunk({}), {"type": "ping"}]
)
def test_chunks_that_say_nothing_are_nothing(chunk: Any) -> None:
    assert ChatFold("m").add("", chunk) == []


def test_text_completions_are_read_as_well() -> None:
    fold = _fold({"choices": [{"text": "Hel"}]}, {"choices": [{"text": "lo", "finish_reason": "stop"}]})
    assert (fold.response().text, fold.finished) == ("Hello", True)
