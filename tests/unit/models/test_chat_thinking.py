from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.models.base import (
    AssistantMessage,
    ModelRequest,
    Progress,
    TextDelta,
    Thinking,
    ToolCall,
    ToolMessage,
)
from clawd.models.chat_config import ChatConfig, ReasoningEcho
from clawd.models.chat_fold import ChatFold
from clawd.models.chat_request import request_body
from clawd.models.chat_thinking import TagSplitter, Thoughts, details_of
from tests.unit.models.conftest import ask

THINK = "<think>"


def _split(pieces: list[str], tags: Any = "leading") -> tuple[str, str]:
    splitter = TagSplitter(tags)
    parts = [*(splitter.feed(piece) for piece in pieces), splitter.close()]
    return "".join(thought for thought, _ in parts), "".join(said for _, said in parts)


# --- tags in the text


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("<think>hm</think>\n\nyes", "hm", "yes"),
        ("\n <think>hm</think>yes</think> <think>", "hm", "yes</think> <think>"),
        ("<thinking>hm</thinking>yes", "hm", "yes"),
        ("<thought>a < b</thought>yes", "a < b", "yes"),
        ("[THINK]hm[/THINK]yes", "hm", "yes"),
        ("<think></think>yes", "", "yes"),
        ("<think>hm", "hm", ""),
        ("<think>hm</thi", "hm</thi", ""),
        ("yes <think>no</think>", "", "yes <think>no</think>"),
        ("<thin", "", "<thin"),
        ("<thinner>", "", "<thinner>"),
        ("  yes", "", "  yes"),
        ("", "", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_tags_at_the_beginning_are_thoughts_however_the_text_was_cut(
    text: str, thought: str, said: str, size: int
) -> None:
    assert _split([text[i : i + size] for i in range(0, len(text), size)]) == (thought, said)


@given(st.lists(st.sampled_from(["<think>", "</think>", "<thi", "nk>", "a", " ", "\n", "</"]), max_size=12))
def test_any_cut_of_any_text_says_the_same(pieces: list[str]) -> None:
    assert _split(pieces) == _split(["".join(pieces)])


def test_a_text_that_begins_within_thoughts_needs_no_opening_tag() -> None:
    assert _split(["hm</thi", "nk>\nyes"], "open") == ("hm", "yes")
    assert _split(["<think>hm</think>yes"], "open") == ("hm", "yes")


def test_where_tags_mean_nothing_they_are_text() -> None:
    assert _split(["<think>hm</think>yes"], "none") == ("", "<think>hm</think>yes")


def test_a_plain_answer_is_not_held_back() -> None:
    splitter = TagSplitter("leading")
    assert splitter.feed("H") == ("", "H")
    assert splitter.feed("<") == ("", "<")


def test_a_fold_shows_nobody_the_thoughts_in_tags() -> None:
    fold = ChatFold("m")
    events = []
    for piece in ["<th", "ink>let me", " see</think>", "\n", "four"]:
        events += fold.add("", {"choices": [{"delta": {"content": piece}}]})
    events += fold.add("", {"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert [e for e in events if isinstance(e, TextDelta)] == [TextDelta("four")]
    assert Progress("thinking") in events
    response = fold.response()
    assert (response.text, response.thinking) == ("four", (Thinking(text="let me see"),))


def test_white_space_without_end_is_not_held_for_ever() -> None:
    splitter = TagSplitter("leading")
    assert "".join(splitter.feed(" ")[1] for _ in range(200)) == " " * 200


# --- what is kept


def _kept(*deltas: dict[str, Any]) -> tuple[Thinking, ...]:
    fold = ChatFold("m")
    for delta in deltas:
        assert fold.add("", {"choices": [{"delta": delta}]})[0] == Progress("thinking")
    return fold.response().thinking


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_are_kept_whole_whatever_their_field_is_called(name: str) -> None:
    assert _kept({name: "let \ud83d"}, {name: "\ude00 see"}) == (Thinking(text="let \U0001f600 see"),)


def test_thoughts_among_the_parts_of_a_content_are_kept() -> None:
    part = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert _kept({"content": [part]}) == (Thinking(text="hm"),)


def test_details_come_together_from_their_pieces_and_go_back_as_they_came() -> None:
    piece: dict[str, Any] = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1"}
    seal: dict[str, Any] = {
        "type": "reasoning.encrypted",
        "index": 1,
        "id": "rs_1",
        "data": "AAAA",
        "format": "x",
    }
    summary: dict[str, Any] = {"type": "reasoning.summary", "index": 2, "summary": "in short"}
    thinking = _kept(
        {"reasoning": "let me", "reasoning_details": [{**piece, "text": "let me", "signature": None}]},
        {"reasoning": " see", "reasoning_details": [{**piece, "text": " see"}]},
        {"reasoning_details": [{**piece, "signature": "c2ln"}, seal]},
        {"reasoning_details": [summary]},
    )
    assert [thought.text for thought in thinking] == ["let me see", "", "in short"]
    assert details_of(thinking) == [{**piece, "text": "let me see", "signature": "c2ln"}, seal, summary]


def test_thoughts_of_another_format_are_no_details() -> None:
    assert (
        details_of((Thinking(text="a", signature="b"), Thinking(data="AAAA=="), Thinking(data="[1]"))) == []
    )


def test_thoughts_are_kept_up_to_a_limit_and_sealed_ones_whole_or_not_at_all() -> None:
    thoughts = Thoughts()
    for _ in range(100):
        thoughts.add("x" * 10_000)
    assert [len(thought.text) for thought in thoughts.thinking()] == [256_000]
    thoughts = Thoughts()
    for _ in range(100):
        thoughts.add_details([{"type": "reasoning.text", "index": 0, "text": "x" * 10_000}])
    assert thoughts.thinking() == ()
    thoughts = Thoughts()
    for n in range(10_000):
        thoughts.add_details([{"type": "x", "index": n}])
    assert thoughts.thinking() == ()
    assert len(thoughts._details) < 3000


# --- what is sent back


def _history(echo: ReasoningEcho, *thinking: Thinking, model: str = "main", calls: int = 1) -> list[Any]:
    tool_calls = tuple(ToolCall(id=f"c{n}", name="time", arguments="{}") for n in range(calls))
    before = AssistantMessage(text="earlier", thinking=(Thinking(text="old"),), model="main")
    said = AssistantMessage(text="", tool_calls=tool_calls, thinking=thinking, model=model)
    result = ToolMessage(call_id="c0", name="time", text="noon")
    config = ChatConfig(name="main", type="chat", base_url="http://h/v1", reasoning_echo=echo)
    body: Any = request_body(config, ModelRequest(messages=(before, *ask().messages, said, result)))
    return [message for message in body["messages"] if message["role"] == "assistant"]


def test_by_default_no_thought_is_sent_back() -> None:
    assert "old" not in json.dumps(_history("none", Thinking(text="hm")))
    assert "hm" not in json.dumps(_history("none", Thinking(text="hm")))


def test_thoughts_go_back_as_content_of_their_own_within_the_turn_and_to_their_model_alone() -> None:
    earlier, now = _history("reasoning_content", Thinking(text="h"), Thinking(text="m"))
    assert (earlier["reasoning_content"], now["reasoning_content"]) == (" ", "hm")
    assert _history("reasoning_content", Thinking(text="hm"), model="other")[1]["reasoning_content"] == " "


def test_thoughts_go_back_as_details_where_they_came_as_such() -> None:
    detail = Thinking(text="hm", data='{"type": "reasoning.text", "signature": "s"}')
    earlier, now = _history("reasoning_details", detail)
    assert now["reasoning_details"] == [{"type": "reasoning.text", "signature": "s", "text": "hm"}]
    assert "reasoning_details" not in earlier
    assert _history("reasoning_details", Thinking(text="hm"))[1]["reasoning"] == "hm"
    assert not {"reasoning", "reasoning_details"} & set(_history("reasoning_details", detail, model="o")[1])


def test_a_signature_comes_with_its_call_and_goes_back_with_it() -> None:
    fold = ChatFold("main")
    extra = {"google": {"thought_signature": "c2ln"}}
    call: dict[str, Any] = {
        "index": 0,
        "id": "c0",
        "function": {"name": "time", "arguments": "{}"},
        "extra_content": extra,
    }
    fold.add("", {"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})
    assert fold.response().thinking == (Thinking(id="c0", signature="c2ln"),)
    calls = _history("thought_signature", *fold.response().thinking, calls=2)[1]["tool_calls"]
    assert calls[0]["extra_content"] == extra
    assert "extra_content" not in calls[1]


def test_calls_of_another_model_are_excused_from_a_signature() -> None:
    calls = _history("thought_signature", Thinking(id="c0", signature="x"), model="other", calls=2)[1][
        "tool_calls"
    ]
    assert [call.get("extra_content") for call in calls] == [
        {"google": {"thought_signature": "skip_thought_signature_validator"}},
        None,
    ]
