from __future__ import annotations

import sys
from difflib import get_close_matches

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.nearest import nearest

WORDS = st.text("abctk_", max_size=8)


@given(word=WORDS, known=st.lists(WORDS, max_size=6), most=st.integers(1, 3), cutoff=st.floats(0, 1))
def test_the_words_are_those_of_the_standard_library(
    word: str, known: list[str], most: int, cutoff: float
) -> None:
    assert nearest(word, known, most=most, cutoff=cutoff) == get_close_matches(word, known, most, cutoff)


def test_a_word_that_is_like_none_costs_no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "difflib")
    assert nearest("rate", ("token", "secret", "password"), cutoff=0.8) == []
    assert "difflib" not in sys.modules
    assert nearest("tokn", ("token", "secret", "password"), cutoff=0.8) == ["token"]
