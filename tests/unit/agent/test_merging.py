"""Which messages become one turn: pieces that a platform cut, and what the asker goes on with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from clawd.agent.merging import followers, pieces
from clawd.journal.base import Queued
from clawd.messages import SPLIT_TEXT
from tests.fakes.inner import message
from tests.unit.agent.leases import lease, queued


def test_an_albums_pieces_are_one_message() -> None:
    album = [queued(n, piece_of="album:9") for n in (2, 3, 4)]
    other = queued(5, piece_of="album:10")
    assert pieces(message(piece_of="album:9"), [*album, other]) == (2, 3, 4)
    assert pieces(message(), album) == ()


def test_a_cut_text_ends_with_the_piece_that_is_not_full() -> None:
    full, rest, next_one = queued(2, piece_of=SPLIT_TEXT), queued(3, "the rest"), queued(4, "another matter")
    assert pieces(message("long", piece_of=SPLIT_TEXT), [full, rest, next_one]) == (2, 3)


def test_a_text_that_came_later_is_not_the_rest_of_a_long_one() -> None:
    long = message("long", piece_of=SPLIT_TEXT)
    late = queued(2, "later")
    late = Queued(
        seq=2, message=replace(late.message, sent_at=long.sent_at + timedelta(seconds=5)), right="chat"
    )
    assert pieces(long, [late]) == ()


def test_somebody_elses_text_is_never_the_rest() -> None:
    assert pieces(message("long", piece_of=SPLIT_TEXT), [queued(2, sender="7")]) == ()


def test_the_asker_goes_on_up_to_the_first_other_message() -> None:
    assert followers(lease(), [queued(2), queued(3), queued(4, sender="7"), queued(5)]) == (2, 3)
    assert followers(lease(), [queued(2, "/new"), queued(3)]) == ()
    assert followers(lease(right="tools"), [queued(2, right="chat")]) == ()
