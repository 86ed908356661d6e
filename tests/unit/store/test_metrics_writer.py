"""What the journal's thread counts: the time of each commit, and commits that failed, by why."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from clawd.errors import JournalBroken, JournalUnavailable
from clawd.observability.counts import Counts
from clawd.store.failure import failure_of
from tests.unit.store.tables import put

if TYPE_CHECKING:
    from clawd.store.sqlite import Store


def error(code: int) -> sqlite3.OperationalError:
    made = sqlite3.OperationalError("no")
    made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, "full"),
        (sqlite3.SQLITE_BUSY, "locked"),
        (sqlite3.SQLITE_LOCKED, "locked"),
        (517, "locked"),  # SQLITE_BUSY_SNAPSHOT, an extended code
        (sqlite3.SQLITE_NOMEM, "failed"),
        (sqlite3.SQLITE_IOERR, "failed"),
    ],
)
def test_a_failure_is_one_of_three_words(code: int, kind: str) -> None:
    assert failure_of(error(code)).kind == kind


async def test_each_commit_is_timed_once_and_a_proof_of_life_is_none(store: Store) -> None:
    counts = Counts()
    store.count(counts)
    await store.write(put("a"))
    await store.ping()
    assert sum(counts.commit_s.counts) == 1
    assert counts.commit_s.total > 0
    assert not any(counts.journal_errors.numbers().values())


async def test_a_full_disk_is_counted_for_each_commit_and_not_for_proofs_of_life(store: Store) -> None:
    counts, full = Counts(), error(sqlite3.SQLITE_FULL)

    def fail(db: sqlite3.Connection) -> None:
        raise full

    store.count(counts)
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await store.write(fail)
    await store.ping()
    assert store.pause
    assert counts.journal_errors.numbers() == {("full",): 2, ("locked",): 0, ("failed",): 0}
    assert sum(counts.commit_s.counts) == 0


async def test_a_disk_that_breaks_is_counted(store: Store) -> None:
    counts, broken = Counts(), error(sqlite3.SQLITE_IOERR)

    def fail(db: sqlite3.Connection) -> None:
        raise broken

    store.count(counts)
    with pytest.raises(JournalBroken):
        await store.write(fail)
    assert counts.journal_errors.numbers()[("failed",)] == 1
