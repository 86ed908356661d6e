"""What is printed stays printed, and never twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.cli.chat.answer import Answer


def test_blocks_are_given_out_once_and_the_last_one_stays_live() -> None:
    answer = Answer()
    assert answer.show("One.\n\nTw") == (["One.\n\n"], False)
    assert answer.show("One.\n\nTwo.") == ([], False)
    assert answer.tail == "Two."
    assert answer.settle() == ["Two."]


def test_a_text_that_is_taken_back_and_begins_alike_goes_on_behind_what_is_printed() -> None:
    answer = Answer()
    answer.show("One.\n\nTwo")
    assert answer.show("") == ([], False)
    assert answer.show("One.") == ([], False)
    assert answer.tail == ""
    assert answer.show("One.\n\nThree.\n\n") == (["Three.\n\n"], False)


def test_a_text_that_differs_from_what_is_printed_starts_all_over() -> None:
    answer = Answer()
    answer.show("One.\n\nTwo")
    assert answer.show("Uno.\n\n") == (["Uno.\n\n"], True)


def test_a_live_part_that_is_taken_back_was_never_printed_and_needs_no_word() -> None:
    answer = Answer()
    answer.show("Half a sen")
    assert answer.show("Another.\n\n") == (["Another.\n\n"], False)


def test_text_goes_on_behind_a_settled_part() -> None:
    answer = Answer()
    answer.show("Let me see.")
    assert answer.settle() == ["Let me see."]
    assert answer.show("Let me see.\n\nIt is 4.\n\n") == (["\n\nIt is 4.\n\n"], False)
    assert answer.settle() == []


@given(st.lists(st.text("ab\n", max_size=20), max_size=8))
def test_printed_and_live_are_the_text_once_it_is_longer_than_what_is_printed(texts: list[str]) -> None:
    answer = Answer()
    for text in texts:
        answer.show(text)
        if len(text) >= len(answer.printed):
            assert answer.printed + answer.tail == text
