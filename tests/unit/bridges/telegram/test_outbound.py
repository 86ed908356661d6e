"""Outbound messages as requests, and what is below them on the ladder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.telegram.errors import Trouble
from bridges.telegram.format import Formatted
from bridges.telegram.outbound import cut_in_two, preview_of, rung_of
from bridges.telegram.session import PostText, ReplaceText
from bridges.telegram.units import utf16_len
from clawd.messages import Preview
from tests.fakes.telegram import outbound


def test_a_reply_becomes_a_request_without_parse_mode() -> None:
    method = rung_of(outbound("**yes**", chat=-1001, thread=5, reference="77")).method()
    assert isinstance(method, PostText)
    assert (method.chat_id, method.message_thread_id, method.text) == (-1001, 5, "yes")
    assert method.parse_mode is None
    assert [(e.type, e.offset, e.length) for e in method.entities or ()] == [("bold", 0, 3)]
    assert method.reply_parameters is not None
    assert method.reply_parameters.message_id == 77


def test_a_reply_to_a_preview_becomes_an_edit() -> None:
    method = rung_of(outbound("yes", edit_of="9", reference="77")).method()
    assert isinstance(method, ReplaceText)
    assert (method.chat_id, method.message_id, method.text) == (7, 9, "yes")


def test_a_public_chat_may_be_named() -> None:
    assert rung_of(outbound("x", chat="@news")).chat == "@news"


def test_a_question_has_its_choices_in_one_row_under_it() -> None:
    method = rung_of(outbound("May I?", question="approval:abcd1234-7-12-3")).method()
    assert method.reply_markup is not None
    assert method.reply_markup.model_dump(exclude_none=True) == {
        "inline_keyboard": [
            [
                {"text": "Yes", "callback_data": "a:abcd1234-7-12-3"},
                {"text": "Always", "callback_data": "w:abcd1234-7-12-3"},
                {"text": "No", "callback_data": "d:abcd1234-7-12-3"},
            ]
        ]
    }


def test_a_question_that_replaces_a_preview_brings_its_buttons() -> None:
    method = rung_of(outbound("May I?", question="approval:abcd1234-7-12-3", edit_of="9")).method()
    assert isinstance(method, ReplaceText)
    assert method.reply_markup is not None


def test_of_a_question_in_halves_the_second_has_the_buttons() -> None:
    halves = rung_of(outbound("one two three four", question="approval:abcd1234-7-12-3")).halves()
    assert halves is not None
    assert [bool(half.buttons) for half in halves] == [False, True]


RUNGS: tuple[Trouble, ...] = ("entities", "buttons", "thread_gone", "reply_gone", "edit_gone")


def test_the_ladder_ends() -> None:
    question = "approval:abcd1234-7-12-3"
    draft = rung_of(outbound("**x**", chat=-1, thread=5, reference="6", edit_of="7", question=question))
    rungs = 0
    while below := [lower for rung in RUNGS if (lower := draft.below(rung)) is not None]:
        draft = below[0]
        rungs += 1
    assert rungs == 5
    assert (draft.thread, draft.reply_to, draft.edit, draft.buttons) == (None, None, None, ())
    assert draft.content == Formatted("**x**")


@pytest.mark.parametrize("trouble", [None, "too_long", "unchanged"])
def test_other_trouble_has_no_rung(trouble: None) -> None:
    assert rung_of(outbound("**x**", thread=5)).below(trouble) is None


def test_halves_keep_the_edit_in_front_and_the_topic_in_both() -> None:
    halves = rung_of(outbound("one two three four", chat=-1, thread=5, reference="6", edit_of="7")).halves()
    assert halves is not None
    first, second = halves
    assert (first.edit, first.reply_to, first.thread) == (7, 6, 5)
    assert (second.edit, second.reply_to, second.thread) == (None, None, 5)


def test_a_single_character_can_not_be_halved() -> None:
    assert rung_of(outbound("x")).halves() is None


@given(st.text(min_size=2))
def test_two_halves_hold_all_but_the_white_space_between_them(text: str) -> None:
    head, tail = cut_in_two(text)
    rest = text[len(head) : len(text) - len(tail)]
    assert head + rest + tail == text
    assert rest in {"", " ", "\n", "\n\n"}


@given(st.text(st.characters(), max_size=50), st.integers(0, 500))
def test_a_preview_fits_and_says_that_more_follows(text: str, times: int) -> None:
    draft = preview_of(Preview(address=outbound("").address, text=text * times))
    assert utf16_len(draft.content.text) <= 4096
    assert draft.content.text.endswith("…")
    assert draft.content.entities == ()
