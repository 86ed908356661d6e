"""What results look like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.cli.printing import clean, columns, counted, duration, emit, one_line, paint, table


def test_columns_align_also_under_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "STATE"), [["你好", "ok"], ["a", "fail"]])
    assert capsys.readouterr().out == "NAME  STATE\n你好  ok\na     fail\n"


def test_an_empty_table_has_its_heads(capsys: pytest.CaptureFixture[str]) -> None:
    table(("A", "B"), [])
    assert capsys.readouterr().out == "A  B\n"


@given(st.text(), st.integers(min_value=2, max_value=40))
def test_one_line_is_one_clean_line_of_at_most_its_width(text: str, width: int) -> None:
    line = one_line(text, width)
    assert columns(line) <= width
    assert not {"\n", "\r", "\x1b", "\x07", "\x9b", "\u202e"} & set(line)


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert clean("a\x1b[2J\u202eb\tc\n") == "a\\x1b[2J\\x202eb\tc\n"


def test_emoji_stay_in_one_piece() -> None:
    assert clean("👨‍👩‍👧") == "👨‍👩‍👧"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (1.26, "1.3 s"), (59.6, "1 min"), (61, "1 min 1 s"), (90061, "1 d 1 h"), (86400, "1 d")],
)
def test_durations_have_their_two_greatest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_single_thing_is_counted_in_the_singular() -> None:
    assert [counted(number, "turn") for number in (0, 1, 2)] == ["0 turns", "1 turn", "2 turns"]


def test_json_is_one_object_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "你"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"schema_version": 1, "name": "你"}
    assert "你" in out


def test_colours_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert paint("x", "red") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red") == "x"
