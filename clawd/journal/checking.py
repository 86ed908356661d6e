"""Reads a journal for its checks, in pieces: memory stays bounded, and no read lasts long. Changes nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from clawd.artifacts.check import check_files
from clawd.artifacts.disk import FOLDER as FILES
from clawd.errors import JournalCorrupt, JournalError, SchemaTooNew
from clawd.ids import delivery_id, turn_id
from clawd.journal.check import DeliveryRow, Finding, TurnChecks, TurnRows, check_conversation
from clawd.journal.check_rows import (
    CONVERSATIONS,
    DELIVERIES,
    LOST_PUSHES,
    MESSAGES,
    RECORDS,
    STRANGE_PUSHES,
    UNLISTED_PUSHES,
    by_turn,
    conversation_row,
    record_row,
)
from clawd.journal.check_spend import check_spend
from clawd.journal.sqlite_context import INSTANCE, OPEN_TURNS
from clawd.store.backup import connect_to_read
from clawd.store.lock import StateLock
from clawd.store.mark import Mark
from clawd.store.opening import FILE
from clawd.store.schema import APPLICATION_ID, newest_schema

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = 200  # turns, or conversations, read at once
DAMAGED: Final = "file.damaged"
"""The finding that lets a journal be unusable (exit 74)."""
MOST: Final = 1000  # findings that are told; more are only counted
_SPAN: Final = 20_000  # ids of deliveries or records read at once
_OPS: Final = 100_000
SEARCH_DONE: Final = "search_done"  # key in kv: up to here entries are in the search index
_WARNINGS: Final = frozenset({"control.late", "kv.search_done", "outbox.unlisted", "journal.push_lost"})
_LAST: Final = 2**62

Tell = Callable[[int], bool]
"""Told from time to time how many rows were looked at; returns whether to go on."""


class CheckStopped(JournalError):
    """Whoever wanted to know went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a check. `count` is greater than the number of findings when there are too many."""

    findings: tuple[Finding, ...]
    count: int
    turns: int
    conversations: int
    duration_s: float
    quick: bool


def check_state_dir(state_dir: Path) -> Report:
    """Check the journal of a state directory that no daemon uses.

    Raises:
        JournalLocked: a daemon uses it.
        JournalError: there is none, it is not ours, or too damaged to be read.
    """
    lock = StateLock.take(state_dir)
    try:
        return check_file(state_dir / FILE, mark=Mark(state_dir).read())
    finally:
        lock.release()


def check_file(
    path: Path, *, mark: int | None, owner: str | None = None, quick: bool = False, tell: Tell | None = None
) -> Report:
    """Check a database on a connection of its own. Blocks.

    Args:
        path: The database.
        mark: The side file's number, None when there is none.
        owner: The name of the process that works on it now, None when none does.
        quick: Only what costs little however long the journal is: whether work lies about that nobody
            would be woken for. The file itself and single turns are not looked at.
        tell: See `Tell`.

    Raises:
        JournalError: as `check_state_dir`.
        CheckStopped: `tell` said so.
    """
    if not path.exists():
        raise JournalError("there is no journal", where=str(path), remedy="clawd start")
    try:
        with closing(connect_to_read(path)) as db:
            _expect_ours(db, path)
            return _Check(db, path, mark, owner, tell).run(quick=quick)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_INTERRUPT:
            raise CheckStopped("the check was given up", where=str(path)) from error
        raise JournalCorrupt("the journal can't be read", where=str(path), why=str(error)) from error


def _expect_ours(db: sqlite3.Connection, path: Path) -> None:
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    if owner != APPLICATION_ID:
        raise JournalCorrupt(
            "this database belongs to another program", where=str(path), why=f"application id {owner:#x}"
        )
    newest = newest_schema()
    if schema > newest:
        raise SchemaTooNew(str(path), schema, newest)
    if schema < newest:
        raise JournalError(
            "the journal is of an earlier version",
            where=str(path),
            why=f"schema {schema}, this version checks {newest}",
            remedy="clawd start brings it up to date",
        )


class _Check:
    def __init__(
        self, db: sqlite3.Connection, path: Path, mark: int | None, owner: str | None, tell: Tell | None
    ) -> None:
        self._db = db
        self._path = path
        self._mark = mark
        self._owner = owner
        self._tell = tell
        self._rows = 0
        (self._instance,) = db.execute(
            "SELECT coalesce((SELECT value FROM kv WHERE key = ?), '?')", (INSTANCE,)
        ).fetchone()
        if tell is not None:
            db.set_progress_handler(lambda: not tell(self._rows), _OPS)

    def run(self, *, quick: bool) -> Report:
        began = time.monotonic()
        findings: dict[Finding, None] = {}
        count = 0
        for count, finding in enumerate(self._all(quick=quick), start=1):  # noqa: B007 - the last one counts
            if len(findings) < MOST:
                findings[finding] = None
        if findings and self._owner is not None:
            # Rows were read in pieces while they changed: what is really wrong still is.
            again = set(self._all(quick=quick))
            findings = {finding: None for finding in findings if finding in again}
            count = len(findings)
        damaged = any(finding.id == DAMAGED for finding in findings)
        return Report(
            findings=tuple(findings),
            count=count,
            turns=0 if damaged else self._number("SELECT count(*) FROM inbox"),
            conversations=0 if damaged else self._number("SELECT count(*) FROM conv"),
            duration_s=round(time.monotonic() - began, 3),
            quick=quick,
        )

    def _all(self, *, quick: bool) -> Iterator[Finding]:
        if not quick:
            damaged = list(self._damage())
            yield from damaged
            if damaged:
                return  # what is read from such a file means little
            yield from self._references()
        yield from self._whole()
        yield from self._conversations()
        if not quick:
            yield from self._turns()
            yield from self._pushes()
            yield from self._files()
            yield from check_spend(self._db, self._spans("SELECT min(id), max(id) FROM journal"), MOST)

    def _number(self, sql: str) -> int:
        return int(self._db.execute(sql).fetchone()[0])

    # --- the file and single values ---------------------------------------------------------------------

    def _damage(self) -> Iterator[Finding]:
        remedy = "restore a backup; keep the damaged files"
        try:
            for (line,) in self._db.execute("PRAGMA integrity_check(20)"):
                if line != "ok":
                    yield self._finding(DAMAGED, str(self._path), str(line), remedy)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            yield self._finding(DAMAGED, str(self._path), str(error), remedy)

    def _references(self) -> Iterator[Finding]:
        for table, row, parent, _ in self._db.execute("PRAGMA foreign_key_check"):
            yield self._finding(
                "file.reference",
                str(self._path),
                f"row {row} of {table} belongs to a row of {parent} that is not there",
            )

    def _whole(self) -> Iterator[Finding]:
        (highest,) = self._db.execute(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0)"
        ).fetchone()
        if self._mark is not None and self._mark > highest:
            text = f"entries up to {self._mark} had been committed, {highest} is the last one that is there"
            yield self._finding(
                "file.cut", str(self._path), text, "restore a backup, or go on without what is missing"
            )
        if self._instance == "?":
            yield self._finding("kv.instance", INSTANCE, "the journal has no name of its own")
        counted, said, done = self._db.execute(
            "SELECT (SELECT count(*) FROM inbox WHERE state IN ('queued', 'running', 'waiting')),"
            " (SELECT value FROM kv WHERE key = ?), (SELECT value FROM kv WHERE key = ?)",
            (OPEN_TURNS, SEARCH_DONE),
        ).fetchone()
        if counted != said:
            text = f"{counted} turns are open, but {said} are counted"
            yield self._finding("kv.open_turns", OPEN_TURNS, text, "clawd stop, clawd start counts them anew")
        if done is not None and int(done) > highest:
            yield self._finding(
                "kv.search_done", SEARCH_DONE, f"entries up to {done} can be found, {highest} is the last"
            )
        for conv, seq, kind in self._db.execute(
            "SELECT k.conv, k.target_seq, k.kind FROM control k JOIN conv c ON c.id = k.conv"
            " WHERE k.applied_at IS NULL AND k.target_seq <= c.done_seq LIMIT ?",
            (MOST,),
        ):
            yield self._finding(
                "control.late", self._turn(conv, seq), f"a {kind} waits for a turn that is over", ""
            )
        for (name,) in self._db.execute(
            "SELECT c.address FROM snapshot s JOIN conv c ON c.id = s.conv WHERE s.through_seq > c.last_seq"
        ):
            yield self._finding("snapshot.ahead", name, "its snapshot holds turns that are not there")

    # --- conversations ----------------------------------------------------------------------------------

    def _conversations(self) -> Iterator[Finding]:
        last = 0
        while rows := self._db.execute(CONVERSATIONS, (last, PAGE)).fetchall():
            last = rows[-1][0]
            self._rows += len(rows)
            for row in rows:
                yield from check_conversation(conversation_row(row))

    # --- turns ------------------------------------------------------------------------------------------

    def _turns(self) -> Iterator[Finding]:
        checks = TurnChecks(self._owner)
        last = (0, 0)
        while True:
            with self._one_view():
                page = self._db.execute(MESSAGES, (*last, PAGE)).fetchall()
                until = tuple(page[-1][:2]) if len(page) == PAGE else (_LAST, _LAST)
                for turn in self._joined(page, last, until):
                    yield from checks.take(turn)
            if len(page) < PAGE:
                break
            last = until
        yield from checks.end()

    @contextmanager
    def _one_view(self) -> Iterator[None]:
        """Let several statements see the same state, for the length of one page."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    def _joined(
        self, page: list[tuple[Any, ...]], after: tuple[int, ...], until: tuple[int, ...]
    ) -> Iterator[TurnRows]:
        """Yield the turns of a page with their records and deliveries, and those without a message."""
        span = (*after, *until)
        records = by_turn(self._db.execute(RECORDS, span))
        deliveries = by_turn(self._db.execute(DELIVERIES, span))
        messages = {(row[0], row[1]): row for row in page}
        next_records, next_deliveries = next(records, None), next(deliveries, None)
        pending = iter(sorted(messages))
        key = next(pending, None)
        while True:
            keys = [
                k
                for k in (key, next_records and next_records[0], next_deliveries and next_deliveries[0])
                if k
            ]
            if not keys:
                return
            now = min(keys)
            of_records: list[tuple[Any, ...]] = []
            of_deliveries: list[tuple[Any, ...]] = []
            if next_records is not None and next_records[0] == now:
                of_records, next_records = next_records[1], next(records, None)
            if next_deliveries is not None and next_deliveries[0] == now:
                of_deliveries, next_deliveries = next_deliveries[1], next(deliveries, None)
            if key == now:
                key = next(pending, None)
            self._rows += 1 + len(of_records) + len(of_deliveries)
            yield self._turn_rows(now, messages.get(now), of_records, of_deliveries)

    def _turn_rows(
        self,
        key: tuple[int, int],
        message: tuple[Any, ...] | None,
        records: list[tuple[Any, ...]],
        deliveries: list[tuple[Any, ...]],
    ) -> TurnRows:
        _, _, state, merged_into, deadline, dropped, done_seq = message or (*key, None, None, None, 0, 0)
        return TurnRows(
            name=self._turn(*key),
            conv=key[0],
            seq=key[1],
            done_seq=done_seq,
            state=state,
            merged_into=merged_into,
            deadline=deadline,
            given_up=state == "dead" and bool(dropped),
            records=sorted((record_row(row) for row in records), key=lambda record: record.id),
            deliveries=[
                DeliveryRow(
                    name=delivery_id(self._instance, row[2]), state=row[3], filled=bool(row[4]), owner=row[5]
                )
                for row in deliveries
            ],
        )

    # --- pushes -----------------------------------------------------------------------------------------

    def _pushes(self) -> Iterator[Finding]:
        for span in self._spans("SELECT min(id), max(id) FROM outbox"):
            for (row,) in self._db.execute(UNLISTED_PUSHES, span):
                text = "no record tells of this push: clients never see it"
                yield self._finding("outbox.unlisted", delivery_id(self._instance, row), text)
            for row, state in self._db.execute(STRANGE_PUSHES, span):
                text = f"it is {state!r:.40}, which a push can't be, or has no text"
                yield self._finding("outbox.state", delivery_id(self._instance, row), text)
        for span in self._spans("SELECT min(id), max(id) FROM journal"):
            for (row,) in self._db.execute(LOST_PUSHES, span):
                text = "a push is recorded that is not there"
                yield self._finding("journal.push_lost", delivery_id(self._instance, row), text)

    def _files(self) -> Iterator[Finding]:
        for trouble in check_files(self._db, self._path.parent / FILES, contents=True):
            remedy = "restore a backup, which brings its file back"
            yield self._finding(trouble.id, trouble.ref, trouble.what, remedy)

    def _spans(self, ends: str) -> Iterator[tuple[int, int]]:
        """Yield ranges of ids (after, up to) that hold a bounded number of rows each."""
        low, high = self._db.execute(ends).fetchone()
        for first in range((low or 1) - 1, high or 0, _SPAN):
            yield first, first + _SPAN

    def _turn(self, conv: int, seq: int) -> str:
        return turn_id(self._instance, conv, seq)

    def _finding(
        self, id_: str, where: str, what: str, remedy: str = "report it with clawd trace"
    ) -> Finding:
        return Finding(
            id=id_, severity="warning" if id_ in _WARNINGS else "error", where=where, what=what, remedy=remedy
        )
