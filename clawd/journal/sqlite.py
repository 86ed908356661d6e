"""The journal over SQLite. What each write does stands in `sqlite_inbox`, `sqlite_leases`, `sqlite_turns`, `sqlite_sending`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from clawd.errors import JournalCorrupt
from clawd.journal import sqlite_inbox as inbox
from clawd.journal import sqlite_leases as leasing
from clawd.journal import sqlite_line as line
from clawd.journal import sqlite_moving as moving
from clawd.journal import sqlite_offline as offline
from clawd.journal import sqlite_previews as previews
from clawd.journal import sqlite_questions as questions
from clawd.journal import sqlite_sending as sending
from clawd.journal import sqlite_snapshots as snapshots
from clawd.journal import sqlite_turns as turns
from clawd.journal.base import ConversationSettings
from clawd.journal.codec import decode_settings, encode_record, encode_snapshot
from clawd.journal.items import Pushed, Stored
from clawd.journal.jumps import ClockJumps
from clawd.journal.records import TurnFinished
from clawd.journal.sqlite_loading import behind, load
from clawd.journal.wake import Wake
from clawd.messages import Accepted
from clawd.store.faults import COMMIT_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from sqlite3 import Connection

    from clawd.journal.base import Lease, Loaded, OpenQuestion, Queued, Snapshot
    from clawd.journal.deliveries import DeliveryOutcome, NewDelivery, Taken
    from clawd.journal.items import Item
    from clawd.journal.records import Record
    from clawd.journal.sqlite_context import Context
    from clawd.messages import Address, Cursor, Duplicate, Part
    from clawd.store.sqlite import Store, Work

T = TypeVar("T")


class SqliteJournal:
    """Implements `journal.base.Journal` on a store that this process alone has open."""

    def __init__(self, store: Store, context: Context, *, on_end: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._context = context
        self._on_end = on_end
        self.instance = context.instance
        self.work = Wake()
        self.outgoing = Wake()
        self.next_due_s: float | None = None
        self._jumps = ClockJumps(context)

    async def _write(
        self, work: Work[T], *, kinds: Sequence[str] = (), after: Callable[[T], None] | None = None
    ) -> T:
        """Write by the clock as it is set: what is due later moves along first, before new times stand beside it."""

        def moved(db: Connection) -> T:
            if jump_ms := self._jumps.follow(db):
                line.shift(db, jump_ms)
                leasing.shift(db, jump_ms)
            return work(db)

        return await self._store.write(moved, kinds=kinds, after=after)

    # --- inbox ------------------------------------------------------------------------------------------

    async def accept(
        self, batch: Sequence[Item], cursor: Cursor | None = None
    ) -> Sequence[Accepted | Duplicate | Pushed | Stored]:
        return await self._write(
            lambda db: inbox.accept(db, self._context, batch, cursor),
            kinds=("accept",),
            after=self._wake_after_accept,
        )

    def _wake_after_accept(self, results: Sequence[Accepted | Duplicate | Pushed | Stored]) -> None:
        if any(isinstance(result, Accepted | Stored) for result in results):
            self.work.set()  # also a word that a turn waits for
            self.outgoing.set()  # a message frees what was parked
        elif any(isinstance(result, Pushed) for result in results):
            self.outgoing.set()

    async def cursor(self, key: str) -> str | None:
        rows = await self._store.read("SELECT value FROM kv WHERE key = ?", (inbox.cursor_key(key),))
        return str(rows[0][0]) if rows else None

    async def settings(self, address: Address) -> ConversationSettings:
        rows = await self._store.read("SELECT settings FROM conv WHERE address = ?", (str(address),))
        try:
            return decode_settings(rows[0][0]) if rows else ConversationSettings()
        except JournalCorrupt:
            return ConversationSettings()  # it is reported where the conversation's turns are claimed

    # --- turns ------------------------------------------------------------------------------------------

    async def question(self, address: Address) -> OpenQuestion | None:
        rows = await self._store.read(f"{questions.OPEN_QUESTIONS} AND c.address = ?", (str(address),))
        return questions.read_question(self._context, rows[0]) if rows else None

    async def claim(self, count: int, without: Collection[str] = ()) -> Sequence[Lease]:
        leases, self.next_due_s = await self._write(
            lambda db: leasing.claim(db, self._context, count, without), kinds=("claim",)
        )
        return leases

    async def behind(self, lease: Lease) -> Sequence[Queued]:
        return await behind(self._store, lease)

    async def load(self, lease: Lease) -> Loaded:
        try:
            return await load(self._store, lease, self._context.now_ms())
        except JournalCorrupt as error:
            why = str(error)
            if error.row_id is not None or not error.where:
                await self._write(lambda db: leasing.set_aside_leased(db, lease, why))
            raise

    async def record(
        self,
        lease: Lease,
        *records: Record,
        outbox: Sequence[NewDelivery] = (),
        done: bool = False,
    ) -> None:
        if done and sum(isinstance(record, TurnFinished) for record in records) != 1:
            raise ValueError("done needs exactly one TurnFinished among the records")
        encoded = [(record, encode_record(record)) for record in records]
        await self._write(
            lambda db: turns.record(db, self._context, lease, encoded, outbox, done=done),
            kinds=[record.kind for record in records if record.kind in COMMIT_KINDS],
            after=self._wake,
        )
        if done:
            self._on_end()

    def note(self, lease: Lease, record: Record) -> None:
        body = encode_record(record)
        self._store.post(
            lambda db: turns.note(db, self._context, lease, record, body),
            kinds=(record.kind,) if record.kind in COMMIT_KINDS else (),
        )

    async def replace_parts(self, lease: Lease, seq: int, parts: tuple[Part, ...]) -> None:
        await self._write(lambda db: turns.replace_parts(db, lease, seq, parts))

    async def snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        now = self._context.now_ms()
        # A long session takes tenths of a second: neither the loop nor the writer waits for that.
        body = await asyncio.to_thread(encode_snapshot, snapshot)
        self._store.post(lambda db: snapshots.write(db, lease.conv, snapshot, body, now), kinds=("snapshot",))

    async def release(self, lease: Lease, *, count: bool = False) -> None:
        await self._write(
            lambda db: leasing.release(db, self._context, lease, count=count),
            kinds=("release",),
            after=lambda _: self.work.set(),
        )

    def _wake(self, wakes: turns.Wakes) -> None:
        if wakes.work:
            self.work.set()
        if wakes.outgoing:
            self.outgoing.set()

    # --- previews ---------------------------------------------------------------------------------------

    async def reserve_preview(self, lease: Lease) -> int | None:
        return await self._write(
            lambda db: previews.reserve(db, self._context, lease) if leasing.is_ours(db, lease) else None,
            kinds=("preview",),
        )

    async def open_preview(self, lease: Lease) -> tuple[int, str] | None:
        rows = await self._store.read(
            "SELECT id, remote_id FROM outbox WHERE conv = ? AND seq = ? AND part = 0 AND state = 'open'",
            (lease.conv, lease.seq),
        )
        return (rows[0][0], rows[0][1]) if rows else None

    async def preview_sent(self, row: int, remote_id: str | None, *, unknown: bool = False) -> None:
        await self._write(
            lambda db: previews.sent(db, self._context, row, remote_id, unknown=unknown),
            kinds=("preview",),
            after=self._wake_outgoing,
        )

    # --- outbox -----------------------------------------------------------------------------------------

    async def outbox_take(self, count: int, bridges: Collection[str]) -> Taken:
        return await self._write(
            lambda db: sending.take(db, self._context, count, bridges), kinds=("outbox.take",)
        )

    async def outbox_hurry(self, rows: Collection[int]) -> None:
        await self._write(
            lambda db: sending.hurry(db, self._context, rows),
            after=self._wake_outgoing,
        )

    async def outbox_mark(self, row: int, outcome: DeliveryOutcome) -> None:
        await self._write(
            lambda db: sending.mark(db, self._context, row, outcome),
            kinds=("outbox.mark",),
            after=self._wake_outgoing,
        )

    def _wake_outgoing(self, due: bool) -> None:
        if due:
            self.outgoing.set()

    async def move_address(self, old: Address, new: Address) -> None:
        await self._write(lambda db: moving.move(db, old, new), after=lambda _: self.outgoing.set())

    # --- process ----------------------------------------------------------------------------------------

    async def wake_offline(self, count: int | None, among: Collection[int] | None = None) -> int:
        return await self._write(
            lambda db: offline.wake(db, count, self._context.now_ms(), among),
            kinds=("turn.woken",),
            after=lambda woken: self.work.set() if woken else None,
        )

    async def recover(self, hold: Collection[str]) -> int:
        count = await self._write(lambda db: leasing.recover(db, hold, self._context), kinds=("recover",))
        self.work.set()
        self.outgoing.set()
        return count

    async def ping(self) -> None:
        await self._store.ping()
