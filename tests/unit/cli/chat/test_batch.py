"""Joining deltas changes nothing that a transcript says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.cli.chat.batch import coalesced
from clawd.cli.chat.events import Connected, Lost, Received, Signal


def delta(text: str, offset: int, turn: str = "t") -> Received:
    return Received({"type": "delta", "turn": turn, "attempt": 1, "offset": offset, "text": text})


def test_deltas_that_continue_each_other_are_joined() -> None:
    assert coalesced([delta("a", 0), delta("bc", 1), delta("d", 3)]) == [delta("abcd", 0)]


def test_gaps_other_turns_and_other_signals_stay_apart() -> None:
    apart: list[Signal] = [
        delta("a", 0),
        delta("c", 2),
        delta("d", 3, "u"),
        Lost("gone"),
        Connected(again=True),
        Received({"type": "ended", "turn": "u"}),
        delta("x", 0),
    ]
    assert coalesced(apart) == apart


@given(st.lists(st.text("ab", max_size=4)))
def test_the_text_is_the_same(pieces: list[str]) -> None:
    offset, signals = 0, list[Signal]()
    for piece in pieces:
        signals.append(delta(piece, offset))
        offset += len(piece)
    joined = coalesced(signals)
    assert len(joined) <= 1
    assert "".join(news.frame["text"] for news in joined if isinstance(news, Received)) == "".join(pieces)
