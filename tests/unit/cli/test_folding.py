from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.cli import usage
from clawd.cli.folding import fitted_table, fold
from clawd.cli.printing import columns

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_a_long_line_is_folded_between_words_and_a_short_one_is_not() -> None:
    assert fold("queue    1 queued,  2 running, none dead", 9, 24) == (
        "queue    1 queued,  2\n         running, none\n         dead"
    )
    assert fold("a  b", 4, 4) == "a  b"


def test_without_a_screen_a_line_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # standard output is no terminal here
    assert fold("word " * 100) == "word " * 100


@given(st.text("ab 你好", max_size=200), st.integers(min_value=8, max_value=40))
def test_a_folded_line_loses_nothing_and_wide_characters_fit_too(text: str, width: int) -> None:
    folded = fold(text, 2, width)
    assert "".join(folded.split()) == "".join(text.split())
    short = max((columns(word) for word in text.split()), default=0) <= width - 2
    assert not short or all(columns(line) <= width for line in folded.splitlines())


@pytest.mark.parametrize(
    "first", ["turn:1", "terminal:a-very-long-address-of-some-chat-and-thread:and-its-account"]
)
def test_rows_of_a_table_fit_the_screen(capsys: pytest.CaptureFixture[str], first: str) -> None:
    fitted_table(("ID", "TEXT"), [[first, "请证明这个定理" * 10], [first, "-"]], 80)
    text = capsys.readouterr().out
    assert max(map(columns, text.splitlines())) <= 80
    assert text.count(first) == 2
    assert "请证明" in text


def _row(name: str, **more: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        [
            "calls",
            "failed",
            "input_tokens",
            "cached_tokens",
            "output_tokens",
            "cost_usd",
            "possible_usd",
            "possible_calls",
            "unpriced",
        ],
        0,
    )
    return {**nothing, "name": name, **more}


def _shown(rows: Sequence[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> list[str]:
    total = _row("", calls=2)
    usage.show(
        {
            "by": "conversation",
            "rows": rows,
            "total": total,
            "days": 7,
            "last_day": "2026-01-01",
            "budgets": [],
        },
        80,
    )
    return capsys.readouterr().out.splitlines()


def test_usage_fits_80_columns_with_bars_as_long_as_there_is_room(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = _shown([_row("terminal:local:" + "x" * 60, calls=2, input_tokens=1234567, cost_usd=3.0)], capsys)
    assert max(map(columns, lines)) <= 80
    assert "CACHED" not in lines[0], "columns without a number are left out"
    lines = _shown([_row("short", calls=2, cost_usd=3.0), _row("b", calls=2, cost_usd=1.5)], capsys)
    assert max(map(columns, lines)) <= 80
    assert [line.count("█") for line in lines[1:3]] == [24, 12]
