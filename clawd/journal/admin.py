"""What an operator may change in the journal. Every method is one transaction."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from clawd.artifacts import rows as artifacts
from clawd.errors import HoldsMore, NotFound, NotPossible
from clawd.ids import TurnId, parse_row_id, update_id
from clawd.journal import sqlite_callbacks as callbacks
from clawd.journal import sqlite_inbox as inbox
from clawd.journal import sqlite_line as line
from clawd.journal import sqlite_merging as merging
from clawd.journal import sqlite_settings as settings
from clawd.journal import sqlite_turns as turns
from clawd.journal.erasing import erase_conversation

if TYPE_CHECKING:
    from clawd.journal.sqlite_context import Context
    from clawd.journal.wake import Wake
    from clawd.messages import Address
    from clawd.store.sqlite import Store


class SqliteAdmin:
    """Implements `journal.reading.Admin`; `work` and `outgoing` are the journal's wake-ups."""

    def __init__(self, store: Store, context: Context, *, work: Wake, outgoing: Wake) -> None:
        self._store = store
        self._context = context
        self._work = work
        self._outgoing = outgoing

    async def reset(self, address: Address) -> None:
        await self._store.write(lambda db: _reset(db, address))

    async def delete(self, address: Address, *, only: TurnId | None = None) -> int:
        return await self._store.write(
            lambda db: _delete(db, self._context, address, only), kinds=("delete",)
        )

    async def retry(self, turn: TurnId) -> TurnId:
        return await self._store.write(
            lambda db: _ask_again(db, self._context, turn), after=lambda _: self._work.set()
        )

    async def resubmit(self, identifier: str) -> str:
        return await self._store.write(lambda db: self._resubmit(db, identifier), after=self._wake)

    async def drop(self, identifier: str) -> None:
        await self._store.write(lambda db: self._drop(db, identifier), after=self._wake)

    def _wake(self, _: object) -> None:
        self._work.set()
        self._outgoing.set()

    def _resubmit(self, db: sqlite3.Connection, identifier: str) -> str:
        if (turn := self._context.parse_turn(identifier)) is not None:
            if _is_stuck(db, turn):
                _unstick(db, turn[0], self._context.now_ms())
                return identifier
            _expect_dead(db, turn, identifier)
            fresh = _ask_again(db, self._context, TurnId(identifier))
            _drop_turn(db, turn)
            return fresh
        kind, row = _parse_row(self._context, identifier)
        if kind == "update":
            _find_update(db, row, identifier)
            raise NotPossible(
                f"{identifier} can't be read by this version either",
                remedy="look at it with clawd dead list, then drop it",
            )
        _resubmit_delivery(db, self._context, row, identifier)
        return identifier

    def _drop(self, db: sqlite3.Connection, identifier: str) -> None:
        if (turn := self._context.parse_turn(identifier)) is not None:
            if _is_stuck(db, turn):
                _give_up_stuck(db, turn, self._context.now_ms())
            else:
                _expect_dead(db, turn, identifier)
                _drop_turn(db, turn)
            return
        kind, row = _parse_row(self._context, identifier)
        if kind == "update":
            _find_update(db, row, identifier)
            db.execute("DELETE FROM unreadable WHERE id = ?", (row,))
        else:
            _find_dead_delivery(db, row, identifier)
            db.execute("UPDATE outbox SET dropped = 1 WHERE id = ?", (row,))


def _parse_row(context: Context, identifier: str) -> tuple[str, int]:
    parsed = parse_row_id(identifier)
    if parsed is not None and identifier in (
        context.delivery(parsed[1]),
        update_id(context.instance, parsed[1]),
    ):
        return parsed
    raise NotFound(f"there is no {identifier}", remedy="clawd dead list")


# --- conversations ---------------------------------------------------------------------------------------


def _find(db: sqlite3.Connection, address: Address) -> inbox.Conversation:
    conv = inbox.find_conversation(db, address)
    if conv is None:
        raise NotFound(f"there is no conversation {address}", remedy="clawd conversations list")
    return conv


def _reset(db: sqlite3.Connection, address: Address) -> None:
    conv = _find(db, address)
    settings.begin_session(db, conv.id, conv.last_seq)


def _delete(db: sqlite3.Connection, context: Context, address: Address, only: TurnId | None) -> int:
    conv = _find(db, address)
    if only is not None:
        parsed = context.parse_turn(only)
        # Of turns before it, gone by `journal.keep_days`, the conversation may still have a memory.
        if parsed != (conv.id, 1) or merging.last_of(db, conv.id, 1) != conv.last_seq:
            raise HoldsMore(
                "this conversation holds more than one turn",
                where=str(address),
                remedy="clawd conversations delete removes the whole of it",
            )
    return erase_conversation(db, conv.id, address)


# --- turns -----------------------------------------------------------------------------------------------


def _ask_again(db: sqlite3.Connection, context: Context, turn: TurnId) -> TurnId:
    """Append copies of a finished turn's messages to its conversation; return the first new turn's id."""
    parsed = context.parse_turn(turn)
    row = (
        parsed
        and db.execute(
            "SELECT i.state, c.last_seq, c.done_seq FROM inbox i JOIN conv c ON c.id = i.conv"
            " WHERE i.conv = ? AND i.seq = ?",
            parsed,
        ).fetchone()
    )
    if parsed is None or row is None:
        raise NotFound(f"there is no turn {turn}", remedy="clawd turns list")
    state, last_seq, done_seq = row
    if state not in ("failed", "cancelled", "dead"):
        raise NotPossible(f"{turn} is {state}", why="only failed, cancelled and dead turns are asked again")
    conv, seq = parsed
    messages = db.execute(
        'SELECT "right", v, body FROM inbox WHERE conv = ? AND seq BETWEEN ? AND ? ORDER BY seq',
        (conv, seq, merging.last_of(db, conv, seq)),
    ).fetchall()
    for place, (right, version, body) in enumerate(messages):
        again = inbox.enqueue(
            db,
            inbox.Conversation(conv, last_seq + place, done_seq),
            right=right,
            version=version,
            body=body,
            now=context.now_ms(),
        )
        artifacts.use_again(db, conv, seq + place, again)
    return context.turn(conv, last_seq + 1)


def _expect_dead(db: sqlite3.Connection, turn: tuple[int, int], identifier: str) -> None:
    row = db.execute("SELECT state, dropped FROM inbox WHERE conv = ? AND seq = ?", turn).fetchone()
    if row is None:
        raise NotFound(f"there is no turn {identifier}", remedy="clawd dead list")
    if row != ("dead", 0):
        raise NotPossible(f"{identifier} is not among the dead letters", why=f"it is {row[0]}")


def _drop_turn(db: sqlite3.Connection, turn: tuple[int, int]) -> None:
    db.execute("UPDATE inbox SET dropped = 1 WHERE conv = ? AND seq = ?", turn)


def _is_stuck(db: sqlite3.Connection, turn: tuple[int, int]) -> bool:
    row = db.execute(
        "SELECT 1 FROM conv WHERE id = ? AND done_seq + 1 = ? AND stuck IS NOT NULL", turn
    ).fetchone()
    return row is not None


def _unstick(db: sqlite3.Connection, conv: int, now: int) -> None:
    db.execute("UPDATE conv SET stuck = NULL, ready_at = ? WHERE id = ?", (now, conv))


def _give_up_stuck(db: sqlite3.Connection, turn: tuple[int, int], now: int) -> None:
    """End the turn that can't be read, and begin a session without what came before it."""
    conv, seq = turn
    db.execute("UPDATE inbox SET dropped = 1 WHERE conv = ? AND seq = ?", (conv, seq))
    settings.begin_session(db, conv, seq)
    db.execute("UPDATE conv SET stuck = NULL WHERE id = ?", (conv,))
    turns.end_turn(db, conv, seq, "dead", now)


# --- deliveries and updates ------------------------------------------------------------------------------


def _find_dead_delivery(
    db: sqlite3.Connection, row: int, identifier: str
) -> tuple[int, int | None, int, str]:
    found: tuple[int, int | None, int, str, int] | None = db.execute(
        "SELECT conv, seq, part, state, dropped FROM outbox WHERE id = ?", (row,)
    ).fetchone()
    if found is None:
        raise NotFound(f"there is no delivery {identifier}", remedy="clawd dead list")
    if found[3] not in ("dead", "unknown") or found[4]:
        raise NotPossible(f"{identifier} is not among the dead letters", why=f"it is {found[3]}")
    return found[:4]


def _resubmit_delivery(db: sqlite3.Connection, context: Context, row: int, identifier: str) -> None:
    """Send it again, and with a dead part the later ones that died with it."""
    conv, seq, part, state = _find_dead_delivery(db, row, identifier)
    event = callbacks.is_event(db, row)
    now = context.now_ms()
    db.execute(
        "UPDATE outbox SET state = 'pending', attempt = 0, next_at = ?1, at = ?1, ended_at = NULL, why = '',"
        " repeated = max(repeated, state = 'unknown') WHERE id = ?2"
        " OR (?3 AND conv = ?4 AND seq = ?5 AND part > ?6 AND state = 'dead' AND dropped = 0)",
        (now, row, state == "dead" and not event, conv, seq, part),
    )
    if event:
        callbacks.insist(db, row)
    line.refresh(db, conv, now)


def _find_update(db: sqlite3.Connection, row: int, identifier: str) -> None:
    if db.execute("SELECT 1 FROM unreadable WHERE id = ?", (row,)).fetchone() is None:
        raise NotFound(f"there is no update {identifier}", remedy="clawd dead list")
