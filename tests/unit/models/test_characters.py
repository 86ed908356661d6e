from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.models.characters import Joiner, whole

ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None))


def test_halves_that_belong_together_become_one_character() -> None:
    assert whole("a\ud83d\ude00b") == "a\U0001f600b"


def test_a_lone_half_becomes_the_replacement_character() -> None:
    assert whole("a\ud83db\ude00") == "a\ufffdb\ufffd"


def test_halves_in_two_pieces_are_joined() -> None:
    joiner = Joiner()
    assert [joiner.feed("a\ud83d"), joiner.feed("\ude00b")] == ["a", "\U0001f600b"]


def test_a_half_that_stays_alone_is_replaced_once_more_text_comes() -> None:
    joiner = Joiner()
    assert [joiner.feed("a\ud83d"), joiner.feed(""), joiner.feed("b")] == ["a", "", "\ufffdb"]


@given(ANY_TEXT)
def test_any_text_becomes_writable_and_writable_text_stays(text: str) -> None:
    clean = whole(text)
    clean.encode()
    assert whole(clean) == clean


@given(st.text(), st.integers(min_value=1, max_value=5))
def test_however_a_stream_is_cut_its_text_is_the_same(text: str, size: int) -> None:
    units = text.encode("utf-16-le")
    pieces = [units[n : n + 2 * size] for n in range(0, len(units), 2 * size)]
    joiner = Joiner()
    assert "".join(joiner.feed(piece.decode("utf-16-le", "surrogatepass")) for piece in pieces) == text
