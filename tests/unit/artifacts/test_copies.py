"""Files go with a backup, come back with a restore, and stay with the database that a restore replaced."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from clawd.artifacts import copies
from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal.checking import check_state_dir
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.restoring import restore_journal
from clawd.store.opening import FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.journal.keeping import Progress
    from clawd.media import StoredFile

NOW = datetime(2026, 11, 26, tzinfo=UTC)


async def opened_in(state_dir: Path) -> OpenJournal:
    return await open_journal(state_dir, JournalConfig(), SystemClock())


async def put(opened: OpenJournal, content: bytes) -> StoredFile:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    return await opened.artifacts.put(pieces(), owner="api:shop")


async def read(opened: OpenJournal, file: StoredFile) -> bytes:
    return b"".join([piece async for piece in opened.artifacts.read(file.ref)])


async def silent(_: Progress) -> None:
    return


def names(folder: Path) -> set[str]:
    return {p.parent.name + p.name for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("linked", [True, False])
async def test_a_backup_takes_its_files_along_and_a_restore_brings_them_back(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    if not linked:  # as between two file systems

        def refused(self: Path, target: Path) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr("pathlib.Path.hardlink_to", refused)
    opened = await opened_in(state_dir)
    old = await put(opened, b"before the backup")
    target = state_dir / "copy" / "clawd.db"
    target.parent.mkdir()
    await opened.keeping.backup(target, force=False, tell=silent)
    assert names(copies.beside(target)) == {old.digest}
    await opened.artifacts.delete(old.ref)
    new = await put(opened, b"after the backup")
    await opened.close()

    restored = await asyncio.to_thread(restore_journal, state_dir, target, NOW)
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()
    opened = await opened_in(state_dir)
    assert await read(opened, old) == b"before the backup"
    await opened.artifacts.sweep(lambda: asyncio.sleep(0))
    await opened.close()
    assert names(state_dir / "artifacts") == {old.digest}

    assert restored.replaced is not None
    assert names(copies.beside(restored.replaced)) == {new.digest}
    await asyncio.to_thread(restore_journal, state_dir, restored.replaced, NOW)
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()
    opened = await opened_in(state_dir)
    assert await read(opened, new) == b"after the backup"
    await opened.close()


async def test_a_second_backup_of_that_name_drops_what_it_does_not_name(state_dir: Path) -> None:
    opened = await opened_in(state_dir)
    old = await put(opened, b"old")
    target = state_dir / "copy" / "clawd.db"
    target.parent.mkdir()
    await opened.keeping.backup(target, force=False, tell=silent)
    await opened.artifacts.delete(old.ref)
    new = await put(opened, b"new")
    folder = copies.beside(target)
    (folder / "mine").mkdir()
    (folder / "mine" / "letter.txt").write_text("not of a backup")
    (folder / old.digest[:2] / f"{old.digest[2:]}.partial").write_bytes(b"o")
    await opened.keeping.backup(target, force=True, tell=silent)
    await opened.close()
    assert names(folder) == {new.digest, "mineletter.txt"}


async def test_a_backup_that_lost_its_files_is_restored_and_the_check_tells(state_dir: Path) -> None:
    opened = await opened_in(state_dir)
    file = await put(opened, b"content")
    target = state_dir / "copy" / FILE
    target.parent.mkdir()
    await opened.keeping.backup(target, force=False, tell=silent)
    await opened.artifacts.delete(file.ref)
    await opened.close()
    for path in copies.beside(target).rglob("*/*"):
        path.unlink()
    await asyncio.to_thread(restore_journal, state_dir, target, NOW)
    (found,) = (await asyncio.to_thread(check_state_dir, state_dir)).findings
    assert (found.id, found.where) == ("artifact.missing", file.ref)
