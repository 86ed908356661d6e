"""What every part of the SQLite journal needs to know of its place."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalCorrupt
from clawd.ids import delivery_id, parse_turn_id, to_ms, turn_id
from clawd.journal.records import VERSION, step_of
from clawd.messages import Address

if TYPE_CHECKING:
    from clawd.ids import Clock, DeliveryId, TurnId
    from clawd.journal.base import Lease
    from clawd.journal.records import Record

ACCEPTED: Final = "accepted"
"""A journal row that is no record: a message came in; its body is in the inbox."""
PUSHED: Final = "pushed"
"""A journal row that is no record: a push was written; `step` is its outbox row."""

OPEN_TURNS: Final = "open_turns"  # key in kv: how many turns are not over
FORGOTTEN: Final = "forgotten:"  # with a conversation's row a key in kv: up to there retention left gaps
INSTANCE: Final = "instance"  # key in kv: the database's own name, in every public id
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The database's instance, this process's name in it, and the clock."""

    instance: str
    owner: str
    clock: Clock
    max_queue: int  # open turns
    dedup_ms: int  # for how long a message's id is known
    boot: str = ""  # since when the clock's `monotonic` counts; empty: unknown

    def now_ms(self) -> int:
        """Return the wall time as the journal keeps it."""
        return to_ms(self.clock.now())

    def turn(self, conv: int, seq: int) -> TurnId:
        """Return a turn's public id."""
        return turn_id(self.instance, conv, seq)

    def delivery(self, row: int) -> DeliveryId:
        """Return an outbox row's public id."""
        return delivery_id(self.instance, row)

    def parse_turn(self, identifier: str) -> tuple[int, int] | None:
        """Return (conv, seq) of one of this database's turns, None for anything else."""
        parsed = parse_turn_id(identifier)
        return parsed if parsed is not None and self.turn(*parsed) == identifier else None


def draw_instance() -> str:
    """Return a fresh name for a database."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


def parse_address(text: str) -> Address:
    """Return a stored address; raises JournalCorrupt."""
    try:
        return Address.parse(text)
    except ValueError as error:
        raise JournalCorrupt("an address can't be read", why=str(error)) from error


def append(
    db: sqlite3.Connection,
    *,
    conv: int,
    seq: int | None,
    kind: str,
    ts: int,
    step: int = 0,
    attempt: int = 0,
    epoch: int = 0,
    version: int = 1,
    body: str = "",
) -> None:
    """Write one journal row."""
    db.execute(
        "INSERT INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (conv, seq, step, attempt, kind, version, epoch, ts, body),
    )


def append_record(
    db: sqlite3.Connection, lease: Lease, item: Record, claims: int, body: str, now: int
) -> None:
    """Write a record of a turn; `claims` says of which attempt it is."""
    append(
        db,
        conv=lease.conv,
        seq=lease.seq,
        kind=item.kind,
        ts=now,
        step=step_of(item),
        attempt=claims,
        epoch=lease.epoch,
        version=VERSION,
        body=body,
    )


def add_open_turns(db: sqlite3.Connection, change: int) -> None:
    """Keep count of the turns that are not over: counting them anew costs too much in a flood."""
    db.execute("UPDATE kv SET value = value + ? WHERE key = ?", (change, OPEN_TURNS))
