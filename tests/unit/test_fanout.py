from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.fanout import Delta, Fanout, GrowingText
from clawd.ids import TurnId
from clawd.messages import Address


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


MINE = Address(bridge="api", account="a", chat="c")


def delta(text: str) -> Delta:
    return Delta(turn=TurnId("turn:x-1-1"), attempt=1, offset=0, text=text)


async def test_a_subscription_keeps_a_limited_amount_of_text_and_tells_of_what_did_not_fit() -> None:
    fanout = Fanout()
    with fanout.subscribe(MINE, chars=10) as events:
        for text in ("12345", "67890"):
            fanout.publish(MINE, delta(text))
        assert not events.lost
        await events.get()
        fanout.publish(MINE, delta("again"))  # what was read made room
        assert not events.lost
        fanout.publish(MINE, delta("x"))
        assert events.lost
