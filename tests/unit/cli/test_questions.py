"""A question as a person sees it: nothing of a call is hidden."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.cli.questions import Question, literal

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ITEM = {
    "id": "approval:x-1-1-2",
    "turn": "turn:x-1-1",
    "tool": "shell",
    "subject": "ls\n",
    "about": "approval",
}


def question(**changes: object) -> Question:
    return Question.parse({**ITEM, "deadline": "2026-01-31T12:10:00.000Z", **changes})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("git status", "git status"),
        ("echo 你好 'ü' | wc -c", "echo 你好 'ü' | wc -c"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b]52;c;aGk=\x07", r"\e]52;c;aGk=\x07"),
        ("\u202erm\u202c \u2066x\u2069", r"\u202erm\u202c \u2066x\u2069"),
        ("a\u200bb\ufeffc\u00add\u2060", r"a\u200bb\ufeffc\xadd\u2060"),
        ("a\u00a0b\u3000c\u2028d", r"a\xa0b\u3000c\u2028d"),  # spaces that are none to a shell
        ("a\u3164b\u2800c\ufe0f\U000e0101", r"a\u3164b\u2800c\ufe0f\U000e0101"),
        ("\ud800", r"\ud800"),
        ("a" + " " * 16 + "b", "a" + " " * 16 + "b"),
        ("a" + " " * 500 + "b", r"a \x20*498 b"),
    ],
)
def test_everything_in_a_call_is_seen_on_one_line(text: str, shown: str) -> None:
    assert literal(text) == shown


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20))
def test_no_call_steers_a_terminal_or_takes_a_second_line(text: str) -> None:
    assert literal(text).isprintable()


def test_the_time_left_is_told_in_two_units_and_never_negative() -> None:
    assert question().left(NOW) == "10 min"
    assert question().left(NOW + timedelta(minutes=9, seconds=55.4)) == "4.6 s"
    assert question().left(NOW + timedelta(hours=1)) == "none"
    assert question().left_s(NOW + timedelta(hours=1)) == 0


def test_a_call_that_was_cut_off_is_asked_about_in_other_words() -> None:
    assert question().asks == "shell wants to run:"
    assert question(about="unknown", tool="sh\x1b[m").asks == (
        r"sh\e[m was cut off and may have run. Run it again?"
    )
