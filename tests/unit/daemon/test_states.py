from __future__ import annotations

import pytest

from clawd.daemon.states import KeptStates
from clawd.models.states import BreakerState
from clawd.testing import ManualClock


class Paper:
    """A row."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.reads = 0

    async def read(self) -> str:
        self.reads += 1
        return self.text

    def post(self, text: str) -> None:
        self.text = text


async def test_states_are_read_again_by_the_next_process_and_once() -> None:
    clock, row = ManualClock(), Paper()
    first = KeptStates(row, clock)
    state = BreakerState(state="open", why="die Antwort: „nein“", since=clock.now(), until=clock.now())
    first.note("a", state)
    first.note("b", BreakerState(state="rest", since=clock.now()))
    first.note("b", BreakerState(since=clock.now()))
    second = KeptStates(row, clock)
    for _ in range(2):
        await second.read()
    assert (dict(second.load()), row.reads) == ({"a": state}, 1)
    await clock.advance(600)
    third = KeptStates(row, clock)
    await third.read()
    assert dict(third.load()) == {}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"a": 1}',
        '{"a": {}}',
        '{"a": {"state": "ajar", "why": "", "since": null, "until": null}}',
        '{"a": {"state": "open", "why": "", "since": "2026-01-01T12:00:00", "until": null}}',
    ],
)
async def test_a_row_that_makes_no_sense_is_passed_over(text: str) -> None:
    states = KeptStates(Paper(text), ManualClock())
    await states.read()
    assert dict(states.load()) == {}
