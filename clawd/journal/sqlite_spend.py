"""What models cost, counted in the commit that says so. Each function is part of one transaction.

A request is open from its intent to its result. A result settles what its attempts cost, and closes the
request. Where a lease ends with a request still open, nobody will ever know: its reserve becomes possible
spend, once, as both happen in one commit. Nothing here looks at the journal's other rows.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    SummaryIntent,
    SummaryResult,
    TurnFinished,
    TurnOffline,
)
from clawd.journal.spend import Tally, day_of, micros, tallies

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from clawd.journal.base import Lease
    from clawd.journal.records import Record
    from clawd.response import ModelAttempt

SUMS: Final = tuple(field.name for field in fields(Tally))
"""The columns that are summed, in the order of `Tally`."""
_sums: Final = attrgetter(*SUMS)
_COLUMNS: Final = ", ".join(SUMS)
_ADD: Final = (
    f"INSERT INTO spend (day, model, conv, sender, {_COLUMNS})"  # noqa: S608 - constants
    f" VALUES ({', '.join('?' * (4 + len(SUMS)))}) ON CONFLICT (day, model, conv, sender)"
    f" DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
_FOLD: Final = (
    f"INSERT INTO spend (day, model, conv, sender, {_COLUMNS})"  # noqa: S608 - constants
    f" SELECT day, model, 0, '', {', '.join(f'sum({name})' for name in SUMS)} FROM spend WHERE {{which}}"
    f" GROUP BY day, model ON CONFLICT (day, model, conv, sender)"
    f" DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
)
_FOLD_CONVERSATION: Final = _FOLD.format(which="conv = ?")
_FOLD_DAY: Final = _FOLD.format(which="day = ? AND conv > 0")
_LOST: Final = "conv > 0 AND conv NOT IN (SELECT id FROM conv)"
_FOLD_LOST: Final = _FOLD.format(which=_LOST)


def open_request(db: sqlite3.Connection, lease: Lease, intent: Record, now_ms: int) -> None:
    """A model is about to be asked: note what that may cost. Anything but an intent is passed over."""
    if isinstance(intent, ModelIntent | SummaryIntent) and intent.model is not None:
        db.execute(
            "INSERT INTO spend_open (conv, step, day, model, sender, reserve) VALUES (?, ?, ?, ?, ?, ?)",
            (
                lease.conv,
                intent.step,
                day_of(now_ms),
                intent.model,
                lease.message.user,
                micros(intent.reserve_usd),
            ),
        )


def settle(db: sqlite3.Connection, lease: Lease, records: Iterable[Record], now_ms: int) -> None:
    """Count what records say that was paid, and close the requests that they tell the end of."""
    for item in records:
        match item:
            case SummaryResult(step=step, response=response):
                db.execute("DELETE FROM spend_open WHERE conv = ? AND step = ?", (lease.conv, step))
                _count(db, lease, response.attempts, now_ms)
            # Attempts at summaries (their steps are below 0) on the way to a request are among that one's.
            case ModelResult(step=step, response=response):
                db.execute(
                    "DELETE FROM spend_open WHERE conv = ? AND (step = ? OR step < 0)", (lease.conv, step)
                )
                _count(db, lease, response.attempts, now_ms)
            case TurnFinished(attempts=attempts) | TurnOffline(attempts=attempts) if attempts:
                # They are those of the last request; an earlier one that is still open remains unknown.
                db.execute(
                    "DELETE FROM spend_open WHERE conv = ?1 AND (step < 0 OR step = (SELECT step FROM spend_open"
                    " WHERE conv = ?1 ORDER BY id DESC LIMIT 1))",
                    (lease.conv,),
                )
                _count(db, lease, attempts, now_ms)
            case _:
                pass


def count_direct(db: sqlite3.Connection, attempts: Sequence[ModelAttempt], now_ms: int) -> None:
    """Count attempts that no turn made: by day and model, as no conversation is theirs."""
    for model, tally in tallies(attempts).items():
        db.execute(_ADD, (day_of(now_ms), model, 0, "", *_sums(tally)))


def lose_requests(db: sqlite3.Connection, conv: int) -> None:
    """A conversation's lease ends: what is open now may have been paid, and nobody will tell."""
    _lose(
        db,
        db.execute(
            "DELETE FROM spend_open WHERE conv = ? RETURNING day, model, conv, sender, reserve", (conv,)
        ).fetchall(),
    )


def lose_all_requests(db: sqlite3.Connection) -> None:
    """The process that made them is gone."""
    _lose(db, db.execute("DELETE FROM spend_open RETURNING day, model, conv, sender, reserve").fetchall())


def forget_conversation(db: sqlite3.Connection, conv: int) -> None:
    """Keep what a conversation cost, and forget whose it was."""
    db.execute(_FOLD_CONVERSATION, (conv,))
    db.execute("DELETE FROM spend WHERE conv = ?", (conv,))
    db.execute("DELETE FROM spend_open WHERE conv = ?", (conv,))


def forget_days(db: sqlite3.Connection, before_ms: int) -> bool:
    """Forget who used what on one of the days before a moment; return whether there was such a day.

    A day's sums by model stay.
    """
    row = db.execute(
        "SELECT day FROM spend WHERE day < ? AND conv > 0 ORDER BY day LIMIT 1", (day_of(before_ms),)
    ).fetchone()
    if row is None:
        return False
    db.execute(_FOLD_DAY, row)
    db.execute("DELETE FROM spend WHERE day = ? AND conv > 0", row)
    return True


def forget_lost_conversations(db: sqlite3.Connection) -> None:
    """Forget whose it was where the conversation itself is lost; what it cost stays. Part of a salvage."""
    db.execute(_FOLD_LOST)
    db.execute(f"DELETE FROM spend WHERE {_LOST}")  # noqa: S608 - a constant


def _count(db: sqlite3.Connection, lease: Lease, attempts: Sequence[ModelAttempt], now_ms: int) -> None:
    if attempts:
        day, sender = day_of(now_ms), lease.message.user
        for model, tally in tallies(attempts).items():
            db.execute(_ADD, (day, model, lease.conv, sender, *_sums(tally)))


def _lose(db: sqlite3.Connection, rows: Iterable[tuple[int, str, int, str, int]]) -> None:
    for *whose, reserve in rows:
        tally = Tally()
        tally.lose(reserve)
        db.execute(_ADD, (*whose, *_sums(tally)))
