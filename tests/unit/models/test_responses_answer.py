"""Answers in the format of OpenAI's Responses, by recorded events."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.models.base import Progress, TextDelta, ToolCall, Usage
from clawd.models.responses_answer import ResponsesFold
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.response import Thinking

if TYPE_CHECKING:
    from clawd.models.base import ModelEvent, ModelResponse

Recorded = dict[str, Any]

USAGE = {
    "input_tokens": 75,
    "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
    "output_tokens": 1186,
    "output_tokens_details": {"reasoning_tokens": 1024},
    "total_tokens": 1261,
}


def event(kind: str, index: int = 0, **more: Any) -> Recorded:
    return {"type": f"response.{kind}", "output_index": index, "sequence_number": 1, **more}


def delta(text: str, index: int = 0, part: int = 0, kind: str = "output_text") -> Recorded:
    return event(f"{kind}.delta", index, content_index=part, item_id=f"msg_{index}", delta=text)


def added(item: Recorded, index: int = 0) -> Recorded:
    return event("output_item.added", index, item=item)


def done(item: Recorded, index: int = 0) -> Recorded:
    return event("output_item.done", index, item=item)


def call(call_id: str, arguments: str = "", status: str = "completed") -> Recorded:
    return {
        "type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": "look",
        "arguments": arguments, "status": status,
    }  # fmt: skip


def reasoning(encrypted: str | None, *summary: str) -> Recorded:
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": "rs_1", "summary": parts, "encrypted_content": encrypted}


def message(text: str, kind: str = "output_text") -> Recorded:
    return {
        "type": "message",
        "content": [{"type": kind, "text" if kind == "output_text" else "refusal": text}],
    }


def completed(*output: Recorded, status: str = "completed", **more: Any) -> Recorded:
    response = {"object": "response", "status": status, "output": [*output], "usage": USAGE, **more}
    return {"type": f"response.{status}", "response": response}


def incomplete(reason: str, *output: Recorded) -> Recorded:
    return completed(*output, status="incomplete", incomplete_details={"reason": reason})


def fold(*recorded: Recorded) -> tuple[ResponsesFold, list[ModelEvent]]:
    collected, events = ResponsesFold("gpt"), []
    for data in recorded:
        events += collected.add(data.get("type", ""), data)
    return collected, events


def answer(*recorded: Recorded) -> ModelResponse:
    collected, _ = fold(*recorded)
    assert collected.finished
    return collected.response()


# --- good answers


def test_text_streams_and_is_not_said_again_at_the_end() -> None:
    collected, events = fold(
        event("created"),
        delta("Hel"),
        delta("lo"),
        event("output_text.done", content_index=0, text="Hello"),
        completed(message("Hello")),
    )
    assert events == [TextDelta("Hel"), TextDelta("lo")]
    response = collected.response()
    assert (response.text, response.finish, response.model) == ("Hello", "stop", "gpt")
    assert response.usage == Usage(
        input_tokens=75, output_tokens=1186, cached_tokens=64, cache_write_tokens=8, thinking_tokens=1024
    )


@pytest.mark.parametrize(
    "recorded",
    [
        [event("output_text.done", content_index=0, text="Hello"), completed()],
        [delta("He"), event("output_text.done", content_index=0, text="Hello"), completed()],
        [completed(message("Hello"))],
    ],
    ids=["done", "half", "completed"],
)
def test_text_that_no_delta_brought_is_taken_where_it_comes(recorded: list[Recorded]) -> None:
    assert answer(*recorded).text == "Hello"


def test_two_messages_are_two_paragraphs() -> None:
    assert answer(delta("One."), delta("Two.", index=1), completed()).text == "One.\n\nTwo."
    assert answer(delta("One"), delta(", two.", part=1), completed()).text == "One, two."


def test_calls_stream_in_parallel_and_keep_their_order() -> None:
    collected, events = fold(
        added(call("a"), 1),
        added(call("b"), 2),
        event("function_call_arguments.delta", 2, item_id="fc_b", delta='{"at"'),
        event("function_call_arguments.delta", 1, item_id="fc_a", delta='{"at": 1}'),
        event("function_call_arguments.delta", 2, item_id="fc_b", delta=": 2}"),
        event("function_call_arguments.done", 2, item_id="fc_b", arguments='{"at": 2}'),
        done(call("a", '{"at": 1}'), 1),
        done(call("b", '{"at": 2}'), 2),
        completed(call("a", '{"at": 1}'), call("b", '{"at": 2}')),
    )
    response = collected.response()
    assert response.tool_calls == (
        ToolCall(id="a", name="look", arguments='{"at": 1}'),
        ToolCall(id="b", name="look", arguments='{"at": 2}'),
    )
    assert response.finish == "tool_calls"
    assert set(events) == {Progress("tool_call")}


def test_calls_that_only_the_last_event_holds_are_taken() -> None:
    assert [c.id for c in answer(completed(call("a"), call("b"))).tool_calls] == ["a", "b"]
    assert answer(completed(call("a"))).tool_calls[0].arguments == "{}"


def test_reasoning_is_kept_sealed_with_all_parts_of_its_summary_and_its_place() -> None:
    collected, events = fold(
        added(reasoning("par")),
        event("reasoning_summary_text.delta", item_id="rs_1", delta="one"),
        done(reasoning("whole", "one", "two")),
        delta("I look.", 1),
        done(call("a", "{}"), 2),
        completed(reasoning("whole", "one", "two"), message("I look."), call("a", "{}")),
    )
    assert events[:3] == [Progress("thinking")] * 3
    assert collected.response().thinking == (
        Thinking(id="rs_1", text="one", data="whole"),
        Thinking(id="rs_1", text="two"),
    )


def test_a_seal_counts_only_with_the_end_of_its_item() -> None:
    thinking = answer(added(reasoning("par")), done(call("a", "{}"), 1), completed()).thinking
    assert thinking == (Thinking(id="rs_1"),)


def test_reasoning_between_two_calls_keeps_its_place() -> None:
    later = {**reasoning("more"), "id": "rs_2"}
    thinking = answer(
        delta("I look."), done(call("a"), 1), done(later, 2), done(call("b"), 3), completed()
    ).thinking
    assert thinking == (Thinking(id="rs_2", data="more", after_text=7, after_calls=1),)


def test_reasoning_of_an_answer_without_calls_is_not_kept() -> None:
    assert answer(done(reasoning("whole")), delta("x", 1), completed()).thinking == ()


def test_a_keep_alive_is_one_and_unknown_events_and_items_are_nothing() -> None:
    collected, events = fold(
        {"type": "keepalive", "sequence_number": 3},
        event("from.the.future", x=1),
        done({"type": "web_search_call", "id": "ws_1"}),
        delta("x", 1),
        completed(),
    )
    assert events == [Progress("keepalive"), TextDelta("x")]
    assert collected.response().tool_calls == ()


def test_a_whole_response_is_read_too() -> None:
    whole = completed(reasoning("sealed"), message("I look."), call("a", '{"at": 1}'))["response"]
    response = answer(whole)
    assert (response.text, response.finish) == ("I look.", "tool_calls")
    assert response.tool_calls == (ToolCall(id="a", name="look", arguments='{"at": 1}'),)
    assert response.thinking == (Thinking(id="rs_1", data="sealed"),)
    assert response.usage.thinking_tokens == 1024


def test_a_character_cut_in_two_is_joined() -> None:
    assert answer(delta("\ud83d"), delta("\ude00!"), completed()).text == "😀!"


# --- how it ends


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "filtered"), ("from_the_future", "length")],
)
def test_an_incomplete_answer_says_why(reason: str, finish: str) -> None:
    assert answer(delta("x"), incomplete(reason)).finish == finish


def test_a_call_that_the_limit_cut_off_is_none() -> None:
    cut = call("b", '{"at": "hal', status="incomplete")
    response = answer(
        done(call("a", "{}"), 0), added(call("b"), 1), done(cut, 1), incomplete("max_output_tokens", cut)
    )
    assert [c.id for c in response.tool_calls] == ["a"]
    assert response.finish == "length"


def test_a_call_whose_arguments_never_came_is_none() -> None:
    assert answer(done(call("a")), incomplete("max_output_tokens")).tool_calls == ()


def test_an_answer_beyond_all_measure_is_refused() -> None:
    huge = event("function_call_arguments.delta", item_id="fc_a", delta="x" * 1_000_000)
    with pytest.raises(MalformedAnswer, match="characters"):
        fold(added(call("a")), *[huge] * 5)
    with pytest.raises(MalformedAnswer, match="items"):
        fold(*(added(call(str(index)), index) for index in range(2000)))


def test_reasoning_beyond_all_measure_is_not_kept() -> None:
    huge = reasoning("x" * 5_000_000)
    response = answer(done(huge), done(call("a", "{}"), 1), completed())
    assert (response.thinking, len(response.tool_calls)) == ((), 1)


def test_a_filtered_answer_has_no_calls() -> None:
    assert answer(done(call("a", "{}")), incomplete("content_filter")).tool_calls == ()


@pytest.mark.parametrize(
    "recorded",
    [
        [delta("I can't.", kind="refusal"), completed()],
        [event("refusal.done", content_index=0, refusal="I can't."), completed()],
        [completed(message("I can't.", kind="refusal"))],
    ],
)
def test_a_refusal_is_shown_and_named(recorded: list[Recorded]) -> None:
    response = answer(*recorded)
    assert (response.text, response.finish) == ("I can't.", "filtered")


def test_an_answer_is_not_finished_before_its_last_event() -> None:
    assert not fold(delta("x"), done(message("x")))[0].finished
    assert not fold(done(call("a", "{}")))[0].finished


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"type": "error", "code": "server_error", "message": "m", "param": None}, "server_error"),
        ({"type": "error", "error": {"code": "server_error", "message": "m"}}, "server_error"),
        ({"error": {"code": "server_error", "message": "m"}}, "server_error"),
        (completed(status="failed", error={"code": "server_error", "message": "m"}), "server_error"),
        (
            completed(status="failed", error={"code": "server_error", "message": "m"})["response"],
            "server_error",
        ),
    ],
    ids=["flat", "nested", "bare", "failed", "whole"],
)
def test_an_error_is_the_providers(data: Recorded, error: str) -> None:
    with pytest.raises(ProviderFault) as caught:
        fold(data)
    assert isinstance(caught.value.error, dict)
    assert caught.value.error["code"] == error


@pytest.mark.parametrize("data", [None, 5, [], "x", {}, {"hello": 1}, {"status": "queued"}])
def test_what_is_nothing_of_the_format_is_refused(data: Any) -> None:
    with pytest.raises(MalformedAnswer):
        ResponsesFold("gpt").add("", data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_TYPES = st.sampled_from(
    ["response.output_item.added", "response.output_item.done", "response.output_text.delta",
     "response.output_text.done", "response.function_call_arguments.delta", "response.completed",
     "response.incomplete", "function_call", "reasoning", "message", ""]
)  # fmt: skip
_INNER = st.fixed_dictionaries(
    {"type": _TYPES},
    optional=dict.fromkeys(("id", "call_id", "arguments", "summary", "content", "status", "output"), _JSON),
)
_EVENTS = st.fixed_dictionaries(
    {"type": _TYPES},
    optional=dict.fromkeys(("item", "delta", "output_index", "item_id", "text", "response"), _JSON | _INNER),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(_EVENTS, max_size=6))
def test_whatever_comes_is_read_or_refused(recorded: list[Recorded]) -> None:
    collected = ResponsesFold("gpt")
    for data in recorded:
        with suppress(MalformedAnswer, ProviderFault):
            collected.add("", data)
    collected.response()
