"""The check of the sums itself: a made-up run that is right, and each way in which sums can be wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash.books import ANSWER, Books, check_books
from tests.crash.events import Asked, Died

if TYPE_CHECKING:
    from tests.crash.events import Event

FIRST, SECOND = 101, 102
PROCESSES = {1: FIRST, 2: SECOND}


def asked(word: str, life: int, step: int = 0) -> Asked:
    return Asked(at=0, life=life, word=word, step=step, token=f"tok{word}{life}{step}x")


# m1 was answered by the first process; m2 was cut off with its intent on the disk, m3 without.
EVENTS: list[Event] = [
    asked("m1", 1),
    asked("m2", 1),
    asked("m3", 1),
    Died(at=0, life=1),
    asked("m2", 2),
    asked("m3", 2),
    Died(at=0, life=2, killed=False),
]
RIGHT = Books(
    calls=3,
    failed=0,
    unpriced=0,
    cost=3 * ANSWER,
    possible_calls=1,
    possible=500,
    open=0,
    answered=frozenset({("m1", 0, FIRST), ("m2", 0, SECOND), ("m3", 0, SECOND)}),
    reserves={("m1", 0, FIRST): 400, ("m2", 0, FIRST): 500, ("m2", 0, SECOND): 500, ("m3", 0, SECOND): 600},
)


def test_right_sums_pass_and_tell_what_nobody_knows_of() -> None:
    assert check_books(RIGHT, EVENTS, PROCESSES) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"cost": 3 * ANSWER + 1},
        {"cost": 2 * ANSWER},
        {"calls": 4},
        {"failed": 1},
        {"unpriced": 1},
        {"possible_calls": 0},
        {"possible_calls": 2},
        {"possible": 501},
        {"open": 1},
        {"answered": RIGHT.answered - {("m1", 0, FIRST)}},
    ],
)
def test_a_sum_that_is_wrong_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check_books(replace(RIGHT, **wrong), EVENTS, PROCESSES)


def test_a_process_that_ended_by_itself_forgets_nothing() -> None:
    gentle = [replace(e, killed=False) if isinstance(e, Died) else e for e in EVENTS]
    with pytest.raises(AssertionError, match="only a killed process"):
        check_books(RIGHT, gentle, PROCESSES)
