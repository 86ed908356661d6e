"""What a stream that can't take text back shows of text that begins anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.gateway.openai_shown import Shown

NOTE = "\n[anew]\n"
words = st.lists(st.text("ab", max_size=3), max_size=6)


@given(st.lists(words, min_size=1, max_size=3))
def test_what_was_sent_ends_with_the_whole_text_whatever_was_taken_back(attempts: list[list[str]]) -> None:
    shown, sent = Shown(NOTE), ""
    for number, pieces in enumerate(attempts):
        if number:
            shown.anew()
        for piece in pieces:
            sent += shown.more(piece)
    whole = "".join(attempts[-1])
    sent += shown.rest(whole)
    assert sent.endswith(whole)
    assert len(sent.split(NOTE)) <= len(attempts)


def test_an_attempt_that_says_the_same_is_not_told_twice() -> None:
    shown = Shown(NOTE)
    sent = shown.more("Half a")
    shown.anew()
    sent += shown.more("Half") + shown.more(" a loaf") + shown.rest("Half a loaf.")
    assert sent == "Half a loaf."


def test_an_attempt_that_ends_before_it_said_as_much_is_told_behind_a_note() -> None:
    shown = Shown(NOTE)
    sent = shown.more("Half a")
    shown.anew()
    sent += shown.more("Half") + shown.rest("Half")
    assert sent == f"Half a{NOTE}Half"


def test_buffered_text_is_told_once_it_is_whole() -> None:
    shown = Shown(NOTE, buffered=True)
    assert shown.more("{") + shown.more("}") == ""
    assert shown.rest("{}") == "{}"
