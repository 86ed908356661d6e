"""In groups a mention counts for all pieces of a message."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from bridges.telegram.pieces import Pieces
from clawd.messages import SPLIT_TEXT, Address, InboundMessage, MessageId, Sender, Text

START = datetime(2026, 11, 1, tzinfo=UTC)
_numbers = itertools.count()


def said(
    piece_of: str | None,
    *,
    addressed: bool = False,
    sender: str = "42",
    chat: str = "-1001",
    group: bool = True,
    after_s: float = 0,
) -> InboundMessage:
    return InboundMessage(
        id=MessageId(f"tg:1:{next(_numbers)}"),
        address=Address(bridge="tg", account="1", chat=chat),
        sender=Sender(id=sender),
        parts=(Text("x"),),
        sent_at=START + timedelta(seconds=after_s),
        group=group,
        addressed=addressed,
        piece_of=piece_of,
    )


def heard(pieces: Pieces, *messages: InboundMessage) -> list[bool]:
    return [event.addressed for event in pieces.addressed(messages) if isinstance(event, InboundMessage)]


@pytest.mark.parametrize("named", [0, 1, 2])
def test_an_album_is_ours_whichever_photo_names_us(named: int) -> None:
    album = [said("135", addressed=number == named) for number in range(3)]
    assert heard(Pieces(), *album) == [True] * 3


def test_an_album_goes_on_in_the_next_batch() -> None:
    pieces = Pieces()
    heard(pieces, said("135", addressed=True))
    assert heard(pieces, said("135"), said("136")) == [True, False]


def test_a_cut_text_goes_on_until_its_last_piece() -> None:
    first, second = said(SPLIT_TEXT, addressed=True), said(SPLIT_TEXT, after_s=1)
    last, next_one = said(None, after_s=3), said(None, after_s=3)
    pieces = Pieces()
    assert heard(pieces, first, second) == [True, True]
    for _ in range(2):  # a batch that could not be stored comes again
        assert heard(pieces, last, next_one) == [True, False]


@pytest.mark.parametrize(
    "other",
    [
        said(SPLIT_TEXT, sender="43"),
        said(SPLIT_TEXT, chat="-1002"),
        said(None, after_s=3),
        said("135"),
    ],
)
def test_other_messages_stay_what_they_are(other: InboundMessage) -> None:
    assert heard(Pieces(), said(SPLIT_TEXT, addressed=True), other) == [True, False]


def test_what_names_nobody_stays_unheard() -> None:
    assert heard(Pieces(), said("135"), said("135"), said(SPLIT_TEXT), said(None)) == [False] * 4


def test_no_more_is_kept_than_the_last_hundred() -> None:
    pieces = Pieces()
    heard(pieces, *(said(str(number), addressed=True) for number in range(101)))
    assert heard(pieces, said("0"), said("1")) == [False, True]
