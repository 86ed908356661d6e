from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.fanout import GrowingText


@given(st.lists(st.one_of(st.text(max_size=5), st.none())))
def test_growing_text_is_all_that_was_added_since_it_began_anew(steps: list[str | None]) -> None:
    growing, plain = GrowingText(), ""
    for step in steps:
        if step is None:
            growing.clear()
            plain = ""
        else:
            growing.add(step)
            plain += step
        assert len(growing) == len(plain)
    assert str(growing) == str(growing) == plain
