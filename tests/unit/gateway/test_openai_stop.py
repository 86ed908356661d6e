"""Text that ends where its client says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.gateway.openai_stop import TextEnd


@given(
    st.lists(st.text("abc", max_size=3), max_size=8),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=2),
)
def test_what_streams_is_what_the_whole_text_has_before_its_end(pieces: list[str], stops: list[str]) -> None:
    end, whole = TextEnd(stops), "".join(pieces)
    shown = "".join(end.more(piece) for piece in pieces)
    assert end.of(whole).startswith(shown)
    assert all(stop not in end.of(whole) for stop in stops)
    if any(stop in whole for stop in stops):
        assert shown == end.of(whole)


def test_without_stops_nothing_waits() -> None:
    assert TextEnd(()).more("abc") == "abc"
