"""What a daemon has counted of its model's cost, held against what the model's server saw of it.

Each request that the server saw is one of three: it led to a committed answer, and its price is in the sums
exactly once; its intent is in the journal, and it stands as possible spend exactly once; or it was made
before its intent was committed by a process that was killed then, and nobody knows of it.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.crash.events import Asked, Died
from tests.crash.words import Wish

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.crash.events import Event

PRICE: Final = {"input": 2.0, "output": 8.0, "cached": 1.0}
ANSWER: Final = 8 * 2 + 3 * 1 + 7 * 8  # millionths of a dollar: what the fake counts of each of its answers

Request = tuple[str, int, int]
"""Word, number of the model's step in its turn, and process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The sums, and what the journal's records say; money in millionths of a dollar."""

    calls: int
    failed: int
    unpriced: int
    cost: int
    possible_calls: int
    possible: int
    open: int
    answered: frozenset[Request]
    reserves: Mapping[Request, int]  # of all requests with an intent


def read_books(database: Path) -> Books:
    """Read them beside a daemon that has come to rest."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        calls, failed, unpriced, cost, possible_calls, possible = db.execute(
            "SELECT sum(calls), sum(failed), sum(unpriced), sum(cost), sum(possible_calls), sum(possible)"
            " FROM spend"
        ).fetchone()
        (still_open,) = db.execute("SELECT count(*) FROM spend_open").fetchone()
        rows = db.execute(
            "SELECT j.conv, j.seq, j.step, j.kind, j.body, s.body, i.body FROM journal j"
            " JOIN journal s ON s.conv = j.conv AND s.seq = j.seq AND s.attempt = j.attempt"
            "  AND s.kind = 'turn.started'"
            " JOIN inbox i ON i.conv = j.conv AND i.seq = j.seq"
            " WHERE j.kind IN ('llm.intent', 'llm.result') ORDER BY j.conv, j.seq, j.step"
        ).fetchall()
    steps: dict[tuple[int, int], list[int]] = {}
    for conv, seq, step, kind, *_ in rows:
        if kind == "llm.result":
            steps.setdefault((conv, seq), []).append(step)
    answered: set[Request] = set()
    reserves: dict[Request, int] = {}
    for conv, seq, step, kind, body, started, message in rows:
        process = int(json.loads(started)["owner"].partition("-")[0])
        word = Wish.parse(json.loads(message)["parts"][0]["text"]).word
        request = (word, steps[conv, seq].index(step), process)
        if kind == "llm.result":
            answered.add(request)
        else:
            reserves[request] = round(json.loads(body)["reserve_usd"] * 1_000_000)
    return Books(
        calls=calls,
        failed=failed,
        unpriced=unpriced,
        cost=cost,
        possible_calls=possible_calls,
        possible=possible,
        open=still_open,
        answered=frozenset(answered),
        reserves=reserves,
    )


def check_books(books: Books, events: Iterable[Event], processes: Mapping[int, int]) -> int:
    """Raise AssertionError unless the sums are right; return how many requests nobody knows of.

    Args:
        books: As read once all is answered.
        events: All that was seen.
        processes: The process of each life.
    """
    events = list(events)
    asked = {(e.word, e.step, processes[e.life]) for e in events if isinstance(e, Asked)}
    killed = {processes[e.life] for e in events if isinstance(e, Died) and e.killed}
    steps = {request[:2] for request in asked}
    assert {request[:2] for request in books.answered} == steps
    assert (books.calls, books.failed, books.unpriced) == (len(steps), 0, 0)
    assert books.cost == len(steps) * ANSWER, "each committed answer is paid for exactly once"
    lost = books.reserves.keys() - books.answered
    assert books.possible_calls == len(lost), "each request without an answer is possible spend, once"
    assert books.possible == sum(books.reserves[request] for request in lost)
    assert books.open == 0
    unknown = asked - books.answered - lost
    assert all(process in killed for _, _, process in unknown), "only a killed process forgets an intent"
    return len(unknown)
