from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.models.sse import Comment, EventTooLarge, ServerEvent, SseParser

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


def _all(*pieces: bytes) -> list[ServerEvent | Comment]:
    parser = SseParser()
    found = [event for piece in pieces for event in parser.feed(piece)]
    return found + parser.close()


@given(
    texts=st.lists(st.lists(_TEXT, min_size=1, max_size=3), max_size=6),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=400),
)
def test_events_are_the_same_however_the_bytes_are_cut(
    texts: list[list[str]], newline: str, cuts: list[int]
) -> None:
    wire = "".join("".join(f"data: {line}{newline}" for line in lines) + newline for lines in texts).encode()
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(wire[at : at + cut])
        at += cut
    pieces.append(wire[at:])

    assert _all(*pieces) == [ServerEvent(data="\n".join(lines)) for lines in texts]


@given(st.binary(max_size=300), st.integers(1, 9))
def test_any_bytes_give_the_same_events_in_one_piece_and_in_many(wire: bytes, size: int) -> None:
    assert _all(*(wire[i : i + size] for i in range(0, len(wire), size))) == _all(wire)


def test_a_comment_is_told_apart_from_an_event() -> None:
    assert _all(b": keep-alive\n\ndata: 1\n\n") == [Comment(), ServerEvent(data="1")]


def test_an_event_name_belongs_to_its_event_only() -> None:
    events = _all(b"event: error\ndata: a\n\ndata: b\n\n")
    assert events == [ServerEvent(data="a", event="error"), ServerEvent(data="b")]


def test_a_byte_order_mark_and_a_missing_space_are_accepted() -> None:
    assert _all(b"\xef\xbb\xbfdata:x\n\n") == [ServerEvent(data="x")]


def test_an_event_without_data_is_none() -> None:
    assert _all(b"event: ping\n\nid: 3\n\n") == []


def test_broken_utf8_becomes_a_replacement_character() -> None:
    assert _all(b"data: a\xffb\n\n") == [ServerEvent(data="a\ufffdb")]


def test_a_last_event_without_its_empty_line_is_kept() -> None:
    assert _all(b"data: [DONE]") == [ServerEvent(data="[DONE]")]


def test_a_line_without_end_is_refused_at_the_limit() -> None:
    parser = SseParser(max_event_bytes=100)
    parser.feed(b"data: " + b"x" * 60)
    with pytest.raises(EventTooLarge):
        parser.feed(b"x" * 60)


def test_an_event_of_many_short_lines_is_refused_at_the_limit() -> None:
    with pytest.raises(EventTooLarge):
        SseParser(max_event_bytes=100).feed(b"data: 0123456789\n" * 20)
