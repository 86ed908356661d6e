"""Replies cut into parts that a platform accepts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.delivery.split import HEAD, RESERVE, split_reply, split_text, utf16_units
from clawd.messages import BridgeCapabilities

TELEGRAM = BridgeCapabilities(text_limit=4096, text_unit="utf16")


def test_a_short_reply_stays_one_part() -> None:
    assert split_reply("hello", TELEGRAM) == ["hello"]


def test_an_empty_reply_is_one_empty_part() -> None:
    assert split_reply("  \n", TELEGRAM) == [""]


def test_paragraph_ends_are_preferred_to_line_ends_and_those_to_word_ends() -> None:
    paragraphs = "\n\n".join("word " * 30 for _ in range(6))
    parts = split_text(paragraphs, 400)
    assert all(part.startswith("word") and part.endswith("word") for part in parts)
    assert len(parts) == 3


def test_emoji_count_as_two_units_and_are_never_torn() -> None:
    parts = split_reply("😀" * 5000, TELEGRAM)
    assert all(utf16_units(part) <= 4096 - RESERVE for part in parts)
    assert "".join(parts) == "😀" * 5000


def test_a_code_fence_that_is_cut_is_closed_and_opened_again_with_its_language() -> None:
    text = "before\n\n```python\n" + "\n".join(f"print({n})" for n in range(200)) + "\n```\n\nafter"
    parts = split_text(text, 500)
    assert len(parts) > 2
    for part in parts:
        assert len(re.findall("^```", part, re.MULTILINE)) % 2 == 0
    assert all(part.startswith("```python\n") for part in parts[1:-1])


def test_a_fence_in_a_list_goes_on_with_its_language_and_ends_where_it_ended() -> None:
    code = "\n".join(f"      print({n})" for n in range(60))
    text = f"1. one\n    - two\n\n      ```python\n{code}\n      ```\n\nafter **that**"
    parts = split_text(text, 300)
    assert len(parts) > 2
    assert all(part.startswith("```python\nprint(") for part in parts[1:])
    assert parts[-1].endswith("\n```\n\nafter **that**")


@pytest.mark.parametrize(
    "cluster", ["👨\u200d👩\u200d👧", "e\u0301\u0323", "👍🏽", "❤\ufe0f\u200d🔥", "1\ufe0f\u20e3"]
)
def test_what_looks_like_one_character_is_not_torn(cluster: str) -> None:
    for limit in range(64, 84):
        parts = split_text(cluster * 60, limit, utf16_units)
        assert "".join(parts) == cluster * 60
        assert all(len(part) % len(cluster) == 0 for part in parts)


DOCUMENTS = BridgeCapabilities(text_limit=4096, text_unit="utf16", document_over=20_000)


def test_a_very_long_reply_is_a_short_head_and_the_whole() -> None:
    text = "```python\n" + "print('😀')\n" * 3000 + "```"
    head, whole = split_reply(f"  {text}\n", DOCUMENTS)
    assert whole == text
    assert utf16_units(head) <= HEAD
    assert head.startswith("```python\nprint")
    assert head.endswith("\n```\n\n… 📄")
    assert split_reply(text[:20_000], DOCUMENTS) == split_reply(text[:20_000], TELEGRAM)


@given(st.text(alphabet="ab \n`😀", max_size=60))
def test_every_head_has_room_and_every_whole_is_above_the_limit(text: str) -> None:
    tight = BridgeCapabilities(text_limit=512, text_unit="utf16", document_over=8192)
    long = f"x{text * 400}x"
    parts = split_reply(long, tight)
    if len(long) > 8192:
        assert parts[1:] == [long]
        assert utf16_units(parts[0]) <= 512 - RESERVE
    else:
        assert all(utf16_units(part) <= 512 - RESERVE for part in parts)


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        split_text("x", 10)


@given(st.text(alphabet=st.sampled_from("ab \n`~😀é中"), max_size=3000), st.integers(64, 300))
def test_no_part_exceeds_the_limit_and_no_character_is_lost(text: str, limit: int) -> None:
    parts = split_text(text, limit, utf16_units)
    assert all(utf16_units(part) <= limit for part in parts)
    kept = "".join(parts)
    for char in "ab😀é中":
        assert kept.count(char) >= text.count(char)


@given(st.text(min_size=1500, max_size=4000, alphabet="ab \n`😀"))
def test_the_first_part_depends_on_the_head_of_the_text_alone(text: str) -> None:
    """What a preview relies on, which shows the first part while the rest is still coming."""
    capabilities = BridgeCapabilities(text_limit=700, text_unit="utf16")
    head = text.lstrip()[:700].rstrip()
    if len(head) == 700:
        assert split_reply(head, capabilities)[0] == split_reply(text, capabilities)[0]
