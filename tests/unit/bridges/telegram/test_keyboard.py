"""The buttons of a question, and the way of their data there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.telegram.keyboard import Button, buttons_of, read_data
from clawd.ids import pairing_question, question_id
from clawd.messages import Choice
from tests.fakes.telegram import CHOICES, outbound

QUESTION = "approval:abcd1234-7-12-3"


def test_each_choice_is_a_button_with_its_letter_and_the_question() -> None:
    assert buttons_of(outbound("May I?", question=QUESTION)) == (
        Button(label="Yes", data="a:abcd1234-7-12-3"),
        Button(label="Always", data="w:abcd1234-7-12-3"),
        Button(label="No", data="d:abcd1234-7-12-3"),
    )


def test_a_reply_has_no_buttons() -> None:
    assert buttons_of(outbound("yes")) == ()


def test_only_the_last_part_of_a_question_has_buttons() -> None:
    assert buttons_of(outbound("May", question=QUESTION, part=0, parts=2)) == ()
    assert buttons_of(outbound("I?", question=QUESTION, part=1, parts=2)) != ()


@pytest.mark.parametrize("length", [17, 18])
def test_an_id_that_could_not_come_back_gives_no_buttons(length: int) -> None:
    number = int("9" * length)
    buttons = buttons_of(outbound("May I?", question=question_id("abcd1234", number, number, number)))
    assert [len(button.data) for button in buttons] == ([64, 64, 64] if length == 17 else [])


def test_a_button_nobody_could_read_gives_no_buttons() -> None:
    choices = (CHOICES[0], Choice(word="deny", label=" "))
    assert buttons_of(outbound("May I?", question=QUESTION, choices=choices)) == ()


@given(st.tuples(*[st.integers(0, 10**15)] * 3), st.sampled_from(CHOICES))
def test_what_a_button_carries_comes_back(numbers: tuple[int, int, int], choice: Choice) -> None:
    question = question_id("abcd1234", *numbers)
    (button,) = buttons_of(outbound("?", question=question, choices=(choice,)))
    assert read_data(button.data) == (choice.word, question)


@pytest.mark.parametrize(
    "data",
    [
        *(None, 5, "", "a", "a:", "yes", "x:abcd1234-7-12-3", "approve:abcd1234-7-12-3", "a:abcd1234-7-12"),
        *("a:abcd1234-7-12-3-4", "a:ABCD-7-12-3", "a: abcd1234-7-12-3", "a:abcd1234-7-12-3\n", "a:a-1-1--1"),
        "a:approval:abcd1234-7-12-3",
    ],
)
def test_data_that_we_never_gave_out_is_not_ours(data: object) -> None:
    assert read_data(data) is None


@given(st.text())
def test_no_data_breaks_the_reading(data: str) -> None:
    read_data(data)


def test_the_question_whether_to_let_in_has_two_buttons_whose_data_comes_back() -> None:
    question = pairing_question("AB2CD3EF")
    buttons = buttons_of(outbound("Shall I?", question=question))
    assert buttons == (Button(label="Yes", data="p:AB2CD3EF"), Button(label="No", data="x:AB2CD3EF"))
    assert [read_data(button.data) for button in buttons] == [("approve", question), ("deny", question)]


@pytest.mark.parametrize("data", ["p:", "p:ab2cd3ef", "x:A-1", "p:denied:tg:7", f"p:{'A' * 33}", "p:A\n"])
def test_data_that_no_code_is_in_is_not_ours(data: str) -> None:
    assert read_data(data) is None
