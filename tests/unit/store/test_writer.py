"""The writer: group commit, failures of one item, backpressure, and its end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from clawd.errors import JournalBroken, JournalUnavailable, NotPossible
from clawd.store import faults
from clawd.store.writer import Writer
from tests.unit.store.tables import put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.store.sqlite import Store


class NoUpkeep:
    """Counts commits and does nothing else."""

    def __init__(self) -> None:
        self.commits = 0

    def after_commit(self, db: sqlite3.Connection) -> float | None:
        self.commits += 1
        return None

    def when_idle(self, db: sqlite3.Connection) -> float | None:
        return None

    def at_close(self, db: sqlite3.Connection) -> None:
        pass


@pytest.fixture
def upkeep() -> NoUpkeep:
    return NoUpkeep()


@pytest.fixture
async def writer(state_dir: Path, upkeep: NoUpkeep) -> AsyncIterator[Writer]:
    def connect() -> sqlite3.Connection:
        db = sqlite3.connect(state_dir / "w.db", isolation_level=None, check_same_thread=False)
        db.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value)")
        return db

    made = Writer(await asyncio.to_thread(connect), upkeep, max_queue=4)
    made.start()
    yield made
    await made.close()


class Gate:
    """Work that keeps the thread busy until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, db: sqlite3.Connection) -> None:
        self.entered.set()
        assert self.open.wait(10)

    async def busy(self) -> None:
        await asyncio.to_thread(self.entered.wait, 10)


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM kv").fetchone()[0])


async def test_each_of_a_hundred_writers_returns_after_its_own_commit(
    store: Store, other: sqlite3.Connection
) -> None:
    async def write(n: int) -> bool:
        await store.write(put(n))
        found = other.execute("SELECT 1 FROM kv WHERE key = ?", (str(n),)).fetchone()
        return found is not None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(n)) for n in range(100)]
    assert all(task.result() for task in tasks)


async def test_what_is_asked_for_in_one_breath_is_one_commit(writer: Writer, upkeep: NoUpkeep) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(4):
            group.create_task(writer.write(put(n)))
    await writer.write(None)
    assert upkeep.commits == 1


async def test_an_item_that_fails_leaves_nothing_and_spares_the_others(writer: Writer) -> None:
    def half(db: sqlite3.Connection) -> None:
        put("half")(db)
        raise NotPossible("no")

    def clash(db: sqlite3.Connection) -> None:
        put("clash")(db)
        put("clash")(db)

    async with asyncio.TaskGroup() as group:
        good = [group.create_task(writer.write(put("a")))]
        bad = [group.create_task(_error(writer, half)), group.create_task(_error(writer, clash))]
        good.append(group.create_task(writer.write(put("b"))))
    assert [t.result() for t in good] == [1, 2]
    assert [type(t.result()) for t in bad] == [NotPossible, sqlite3.IntegrityError]
    assert await writer.write(count) == 2


async def _error(writer: Writer, work: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at its type
        await writer.write(work)  # type: ignore[arg-type]
    return caught.value


async def test_a_bug_in_one_item_reaches_its_waiter_alone(writer: Writer) -> None:
    assert isinstance(await _error(writer, lambda _: 1 / 0), ZeroDivisionError)
    assert await writer.write(put("a")) == 1


async def test_a_cancelled_waiter_does_not_undo_its_write(writer: Writer) -> None:
    gate = Gate()
    told: list[int] = []
    writer.post(gate)
    await gate.busy()
    waiter = asyncio.ensure_future(writer.write(put("a"), after=told.append))
    next_one = asyncio.ensure_future(writer.write(put("b")))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.sleep(0)
    gate.open.set()
    assert await writer.write(count) == 2
    assert waiter.cancelled()
    assert told == [1]
    assert await asyncio.wait_for(next_one, 30) == 2  # who waits behind it hears all the same


async def test_a_full_queue_holds_further_writers_back_and_lets_them_in_in_order(writer: Writer) -> None:
    gate = Gate()
    writer.post(gate)
    await gate.busy()
    order: list[int] = []
    waiters = [asyncio.ensure_future(writer.write(put(n), after=order.append)) for n in range(8)]
    await asyncio.sleep(0.01)
    writer.post(put("too much"))  # posted work is dropped instead
    waiters[5].cancel()
    gate.open.set()
    await asyncio.wait(waiters)
    assert order == [1, 2, 3, 4, 5, 6, 7]
    assert await writer.write(count) == 7


async def test_posted_work_is_committed_before_what_is_written_later(writer: Writer) -> None:
    writer.post(put("a"))
    assert await writer.write(count) == 1


async def test_an_empty_item_proves_the_thread_and_commits_nothing(writer: Writer, upkeep: NoUpkeep) -> None:
    for _ in range(3):
        await writer.write(None)
    assert upkeep.commits == 0


async def test_closing_commits_what_is_queued_and_refuses_the_rest(writer: Writer, upkeep: NoUpkeep) -> None:
    waiter = asyncio.ensure_future(writer.write(put("a")))
    await asyncio.sleep(0)
    await writer.close()
    assert await waiter == 1
    with pytest.raises(JournalUnavailable):
        await writer.write(put("b"))
    await writer.close()
    assert upkeep.commits == 1


async def test_writers_held_back_by_a_full_queue_are_refused_at_closing(writer: Writer) -> None:
    gate = Gate()
    writer.post(gate)
    await gate.busy()
    waiters = [asyncio.ensure_future(writer.write(put(n))) for n in range(6)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(writer.close())
    await asyncio.sleep(0)
    gate.open.set()
    await closing
    done, _ = await asyncio.wait(waiters, timeout=5)
    outcomes = [w.exception() for w in waiters if w in done]
    assert [type(o) for o in outcomes] == [type(None)] * 3 + [JournalUnavailable] * 3


async def test_a_dead_thread_fails_every_waiter_and_all_who_come_later(writer: Writer) -> None:
    gate = Gate()
    faults.arm({"CLAWD_FAULT": "journal.before_commit:accept:1:raise"})
    try:
        writer.post(gate)
        await gate.busy()
        waiters = [asyncio.ensure_future(writer.write(put(n), kinds=["accept"])) for n in range(6)]
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.wait(waiters, timeout=5)
    finally:
        faults.arm({})
    assert all(isinstance(w.exception(), JournalBroken) for w in waiters)
    with pytest.raises(JournalBroken):
        await asyncio.wait_for(writer.broken(), 30)
    with pytest.raises(JournalBroken):
        await writer.write(put("later"))
    writer.post(put("later"))


async def test_the_fault_after_a_commit_comes_before_any_waiter_is_told(writer: Writer) -> None:
    faults.arm({"CLAWD_FAULT": "journal.after_commit:accept:1:raise"})
    try:
        with pytest.raises(JournalBroken):
            await writer.write(put("a"), kinds=["accept"])
    finally:
        faults.arm({})


async def test_a_failed_item_passes_no_fault_point(writer: Writer) -> None:
    faults.arm({"CLAWD_FAULT": "journal.before_commit:accept:1:raise"})
    try:
        with pytest.raises(ZeroDivisionError):
            await writer.write(lambda _: 1 / 0, kinds=["accept"])
    finally:
        faults.arm({})
