"""Keeping a journal over SQLite in order while it is in use: implements `journal.keeping.Keeping`."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from clawd.errors import JournalUnavailable
from clawd.ids import from_ms, to_ms
from clawd.journal.backing_up import back_up
from clawd.journal.erasing import SCRUB
from clawd.journal.export import export
from clawd.journal.keeping import JournalFacts, Progress
from clawd.journal.retention import Position, forget_batch
from clawd.journal.sqlite_spend import forget_days
from clawd.store.backup import FOLDER, Backup, list_backups, place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from clawd.artifacts.store import ArtifactStore
    from clawd.journal.checking import Report
    from clawd.journal.keeping import Exported
    from clawd.journal.sqlite_context import Context
    from clawd.messages import Address
    from clawd.store.sqlite import Store

T = TypeVar("T")

TELL_S: Final = 1.0
"""How often somebody who waits for a thread is told how far it has got."""


class SqliteKeeping:
    """See `journal.keeping.Keeping`.

    Args:
        store: The engine.
        context: Who we are.
        artifacts: The files that go with what names them.
        keep_days: `journal.keep_days`.
    """

    def __init__(
        self, store: Store, context: Context, artifacts: ArtifactStore, *, keep_days: int | None
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._context = context
        self._keep_days = keep_days
        self._state_dir = store.path.parent
        self._scrubbing = asyncio.Lock()

    async def facts(self) -> JournalFacts:
        ((pages, size, free, shrinks),) = await self._store.read(
            "SELECT p.page_count, s.page_size, f.freelist_count, a.auto_vacuum FROM pragma_page_count p,"
            " pragma_page_size s, pragma_freelist_count f, pragma_auto_vacuum a"
        )
        backups = await asyncio.to_thread(list_backups, self._state_dir / FOLDER)
        last = backups[-1] if backups else None
        return JournalFacts(
            file=self._store.path,
            bytes=pages * size,
            free_bytes=free * size,
            wal_bytes=await asyncio.to_thread(
                _size, self._store.path.with_name(f"{self._store.path.name}-wal")
            ),
            shrinks=bool(shrinks),
            keep_days=self._keep_days,
            backups=len(backups),
            last_backup=last[0] if last else None,
            last_backup_at=datetime.fromtimestamp(last[1], UTC) if last else None,
        )

    async def backup(
        self, target: Path | None, *, force: bool, tell: Callable[[Progress], Awaitable[None]]
    ) -> Backup:
        database, now = self._store.path, self._context.clock.now()

        def work(step: Callable[[int, int], bool]) -> Backup:
            goal = place_of(target, self._state_dir, now)
            return back_up(database, goal, force=force, progress=step)

        return await _in_thread(work, tell)

    async def check(self, *, quick: bool, tell: Callable[[Progress], Awaitable[None]]) -> Report:
        mark, owner = await asyncio.to_thread(lambda: self._store.mark), self._context.owner

        def work(step: Callable[[int, int], bool]) -> Report:
            from clawd.journal.checking import check_file  # four modules that hardly any daemon ever needs

            return check_file(
                self._store.path, mark=mark, owner=owner, quick=quick, tell=lambda rows: step(rows, 0)
            )

        return await _in_thread(work, tell)

    def export(self, address: Address) -> AsyncIterator[Exported]:
        return export(self._store, self._context, address)

    # --- deletion and retention -------------------------------------------------------------------------

    async def scrub_if_wanted(self) -> bool:
        async with self._scrubbing:
            wanted = await self._store.read("SELECT 1 FROM kv WHERE key = ?", (SCRUB,))
            if not wanted:
                return True
            try:
                await self._artifacts.remove_gone()
                clean = await self._store.scrub()
            except JournalUnavailable:
                clean = False  # a full disk; the wish stays in kv
            if clean:
                await self._store.write(lambda db: db.execute("DELETE FROM kv WHERE key = ?", (SCRUB,)))
            return clean

    async def sweep_files(self, pause: Callable[[], Awaitable[None]]) -> None:
        await self._artifacts.sweep(pause)

    async def forget(self, pause: Callable[[], Awaitable[None]]) -> datetime | None:
        if self._keep_days is None:
            return None
        kept = timedelta(days=self._keep_days)
        before_ms = to_ms(self._context.clock.now() - kept)
        position = Position()
        while not position.done:
            position = (await forget_batch(self._store, position, before_ms=before_ms)).position
            await pause()
        while await self._store.write(lambda db: forget_days(db, before_ms), kinds=("retention",)):
            await pause()
        return from_ms(position.next_at_ms) + kept if position.next_at_ms is not None else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def _in_thread(
    work: Callable[[Callable[[int, int], bool]], T], tell: Callable[[Progress], Awaitable[None]]
) -> T:
    """Return what `work` returns, run in a thread; `tell` how far it is. A caller that goes away stops it.

    The thread is the caller's own: no task is made for it.
    """
    stop = threading.Event()
    now = Progress(done=0)

    def step(done: int, of: int) -> bool:
        nonlocal now
        now = Progress(done=done, of=of)
        return not stop.is_set()

    running = asyncio.get_running_loop().run_in_executor(None, work, step)
    try:
        while not (await asyncio.wait({running}, timeout=TELL_S))[0]:
            await tell(now)
        return running.result()
    finally:
        stop.set()
        if not running.done():  # it ends in a moment; nothing of it must be left when the caller goes on
            await asyncio.wait({running})
            running.exception()
