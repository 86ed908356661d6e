"""How a journal is opened: the store below it, its first rows, and the views over it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.artifacts.store import ArtifactStore
from clawd.journal.admin import SqliteAdmin
from clawd.journal.ended import EndedRows
from clawd.journal.restoring import told
from clawd.journal.spend_views import SqliteSpending
from clawd.journal.sqlite import SqliteJournal
from clawd.journal.sqlite_context import INSTANCE, OPEN_TURNS, Context, draw_instance
from clawd.journal.sqlite_keeping import SqliteKeeping
from clawd.journal.sqlite_search import SearchIndex
from clawd.journal.views import SqliteViews
from clawd.store.sqlite import Store

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.config.schema import JournalConfig
    from clawd.ids import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJournal:
    """A journal in use; `warnings` are sentences for the operator about what was found at opening."""

    journal: SqliteJournal
    views: SqliteViews
    admin: SqliteAdmin
    keeping: SqliteKeeping
    search: SearchIndex
    spending: SqliteSpending
    artifacts: ArtifactStore
    ended: EndedRows
    store: Store
    warnings: tuple[str, ...]

    async def close(self) -> None:
        """Commit what is queued and let go of the state directory; safe to call twice."""
        await self.store.close()


async def open_journal(state_dir: Path, config: JournalConfig, clock: Clock) -> OpenJournal:
    """Return the journal of a state directory, made if there never was one. Call `recover` on it next.

    Raises:
        JournalLocked: another daemon has this directory.
        JournalCorrupt: the database is damaged, or gone although there was one.
        SchemaTooNew: a newer clawd wrote it.
        JournalError: the directory or the file can't be used.
    """
    store = await Store.open(
        state_dir, highest, lock_timeout_s=config.lock_timeout_s, cache_kb=config.cache_kb
    )
    try:
        instance, restored = await store.write(lambda db: (_instance(db), told(db)))
    except BaseException:
        await store.close()
        raise
    context = Context(
        instance=instance,
        owner=f"{os.getpid()}-{secrets.token_hex(4)}",
        clock=clock,
        max_queue=config.max_queue,
        dedup_ms=config.dedup_days * 86_400_000,
        boot=await asyncio.to_thread(clock.boot),
    )
    search = SearchIndex(store, context)
    artifacts = ArtifactStore(
        store, clock, max_file_bytes=config.max_file_bytes, max_bytes=config.max_files_bytes
    )
    journal = SqliteJournal(store, context, on_end=search.nudge)
    return OpenJournal(
        journal=journal,
        views=SqliteViews(store, context),
        admin=SqliteAdmin(store, context, work=journal.work, outgoing=journal.outgoing),
        keeping=SqliteKeeping(store, context, artifacts, keep_days=config.keep_days),
        search=search,
        spending=SqliteSpending(store, context),
        artifacts=artifacts,
        ended=EndedRows(store, context),
        store=store,
        warnings=(*((restored,) if restored else ()), *store.warnings),
    )


def highest(db: sqlite3.Connection) -> int:
    """Return the highest id that the journal has given, for the side file."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    return int(row[0]) if row is not None else 0


def _instance(db: sqlite3.Connection) -> str:
    """Return the database's own name, drawn the first time."""
    db.execute("INSERT OR IGNORE INTO kv (key, value) VALUES (?, ?)", (INSTANCE, draw_instance()))
    db.execute("INSERT OR IGNORE INTO kv (key, value) VALUES (?, 0)", (OPEN_TURNS,))
    return str(db.execute("SELECT value FROM kv WHERE key = ?", (INSTANCE,)).fetchone()[0])
