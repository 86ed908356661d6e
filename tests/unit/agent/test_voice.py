"""The visible text of an attempt: what is shown, taken back, and committed."""

from __future__ import annotations

from clawd.agent.voice import Voice
from clawd.fanout import Delta, Fanout, Reset, Started
from clawd.ids import TurnId
from clawd.journal.base import ConversationSettings, Lease
from clawd.models.base import Switched, TextDelta
from tests.fakes.inner import message

LEASE = Lease(
    conv=1,
    seq=1,
    epoch=1,
    owner="o",
    attempts=1,
    turn=TurnId("turn:x-1-1"),
    address=message().address,
    message=message(),
    right="chat",
    settings=ConversationSettings(),
)


class Watched:
    """A fanout with a subscriber that rebuilds the text from offsets, as clients do."""

    def __init__(self) -> None:
        self.fanout = Fanout()
        self.fanout.publish(LEASE.address, Started(lease=LEASE))
        self._subscription = self.fanout.subscribe(LEASE.address)
        self._events = self._subscription.__enter__()

    async def text(self) -> str:
        """Return what a client shows, and check that the live text says the same."""
        shown = ""
        while len(self._events):
            _, event = await self._events.get()
            match event:
                case Reset():
                    shown = ""
                case Delta(offset=offset, text=text):
                    assert offset == len(shown)
                    shown += text
                case _:
                    pass
        live = self.fanout.live(LEASE.address)
        assert live is not None
        assert live.text == shown
        return shown


async def test_steps_are_separated_by_a_blank_line() -> None:
    watched = Watched()
    voice = Voice(watched.fanout, LEASE, "")
    for text in ("one ", "two"):
        voice.hear(TextDelta(text))
    voice.commit("one two")
    voice.hear(TextDelta("three"))
    assert await watched.text() == voice.text == "one two\n\nthree"


async def test_another_model_begins_behind_what_is_committed() -> None:
    watched = Watched()
    voice = Voice(watched.fanout, LEASE, "committed")
    voice.hear(TextDelta("wrong"))
    voice.hear(Switched(from_model="a", to_model="b", reason="x"))
    voice.hear(TextDelta("right"))
    assert await watched.text() == voice.text == "committed\n\nright"


async def test_a_switch_before_any_text_says_nothing() -> None:
    watched = Watched()
    voice = Voice(watched.fanout, LEASE, "")
    voice.hear(Switched(from_model="a", to_model="b", reason="x"))
    assert len(watched._events) == 0


async def test_what_was_shown_is_corrected_to_what_is_committed() -> None:
    """A complete answer may differ from its deltas, as when white space at its end is dropped."""
    watched = Watched()
    voice = Voice(watched.fanout, LEASE, "")
    voice.hear(TextDelta("one \n\n\n"))
    voice.commit("one")
    voice.hear(TextDelta("two"))
    assert await watched.text() == voice.text == "one\n\ntwo"
