"""Finding work costs the same in a flood: every hot statement goes through an index, and none walks a table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from clawd.journal.deliveries import RetryAt
from clawd.journal.records import ModelIntent
from clawd.messages import Cursor
from tests.conformance.journals import Bench, message, push, stop

if TYPE_CHECKING:
    from clawd.journal.opening import OpenJournal

FLOOD = 10_000


async def steps_of(opened: OpenJournal, call: Callable[[], Any]) -> int:
    """Return how many thousands of SQLite's own instructions `call` needs in the writer."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    await opened.store.write(lambda db: db.set_progress_handler(tick, 1000))
    await call()
    await opened.store.write(lambda db: db.set_progress_handler(None, 0))
    return count


async def test_work_is_found_at_once_behind_ten_thousand_waiting_messages(
    bench: Bench, opened: OpenJournal
) -> None:
    for start in range(0, FLOOD, 1000):
        await bench.journal.accept([message(str(n), chat=f"c{n % 2000}") for n in range(start, start + 1000)])
    await bench.say(chat="flood")
    assert await steps_of(opened, lambda: bench.journal.claim(10)) <= 5
    lease = await bench.claim()
    assert await steps_of(opened, lambda: bench.finish(lease, "reply")) <= 2
    assert await steps_of(opened, lambda: bench.journal.accept([message()], Cursor(key="k", value="1"))) <= 2
    assert await steps_of(opened, lambda: bench.journal.accept([stop(chat="c5")])) <= 2


async def test_a_delivery_is_found_at_once_among_ten_thousand_that_wait(
    bench: Bench, opened: OpenJournal
) -> None:
    # One long line that is held up, many short ones of a bridge that is away, and one that can go.
    await bench.journal.accept([push(str(n), chat="long") for n in range(FLOOD // 2)])
    held = await bench.take_one()
    await bench.journal.accept([push(str(n), chat=str(n), bridge="away") for n in range(FLOOD // 2)])
    await bench.journal.outbox_mark(held.row, RetryAt(delay_s=3600, why="429"))
    await bench.push("go", chat="other")

    def send_most_of_one_line(db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO outbox (conv, state, next_at, at, v, body) SELECT 1, 'sent', 0, 0, 1, '' FROM outbox"
        )
        db.execute(
            "INSERT INTO outbox (conv, state, next_at, at, v, body) SELECT 1, 'sent', 0, 0, 1, '' FROM outbox"
        )
        db.execute("UPDATE outbox SET state = 'sent' WHERE conv = 1 AND state = 'pending'")
        db.execute("UPDATE conv SET send_at = NULL WHERE id = 1")

    await opened.store.write(send_most_of_one_line)
    assert await steps_of(opened, lambda: bench.push("behind a long past", chat="long")) <= 2
    assert await steps_of(opened, lambda: bench.journal.outbox_take(10, ["tg"])) <= 2
    assert await steps_of(opened, lambda: bench.journal.outbox_take(10, ["tg"])) <= 2
    taken = (await bench.journal.outbox_take(10, ["away"])).rows
    assert len(taken) == 10
    assert (
        await steps_of(opened, lambda: bench.journal.outbox_mark(taken[0].row, RetryAt(delay_s=1, why="")))
        <= 2
    )


async def test_thousands_of_suspects_are_not_walked_through(bench: Bench, opened: OpenJournal) -> None:
    for n in range(0, 3000, 1000):
        await bench.journal.accept([message(chat=str(n + i)) for i in range(1000)])

    def make_suspects(db: sqlite3.Connection) -> None:
        db.execute("UPDATE conv SET suspect = 1")
        db.execute("UPDATE inbox SET attempts = 2")

    await opened.store.write(make_suspects)
    await bench.say("fresh", chat="fresh")
    assert await steps_of(opened, lambda: bench.journal.claim(10)) <= 2
    stats = await bench.views.stats()
    assert stats.running == 2


async def test_starting_again_looks_only_at_what_was_in_work(bench: Bench, opened: OpenJournal) -> None:
    for start in range(0, FLOOD, 1000):
        await bench.journal.accept([message(chat=f"c{n}") for n in range(start, start + 1000)])
    await bench.journal.claim(10)

    def finish_the_rest(db: sqlite3.Connection) -> None:
        db.execute("UPDATE inbox SET state = 'answered' WHERE state = 'queued'")
        db.execute("UPDATE conv SET done_seq = last_seq, ready_at = NULL WHERE owner IS NULL")

    await opened.store.write(finish_the_rest)
    assert await steps_of(opened, lambda: bench.journal.recover(())) <= 2
    assert len(await bench.journal.claim(100)) == 10


SMALL = {"CONSTANT", "kv", "sqlite_sequence", "spend_open"}  # no table, or one that does not grow with use


async def test_no_statement_of_a_start_walks_a_table_that_grows(bench: Bench, opened: OpenJournal) -> None:
    for n in range(3):
        await bench.say(chat=f"c{n}")
    await bench.finish(await bench.claim(), "on its way when the process died")
    await bench.take_one()
    bench.journal.note(await bench.claim(), ModelIntent(step=1, route="default", model="m", reserve_usd=0.1))

    statements: list[str] = []
    reader = opened.store._reader._db
    await opened.store.write(lambda db: db.set_trace_callback(statements.append))
    await reader.set_trace_callback(statements.append)
    assert await bench.journal.recover(()) == 2
    await opened.spending.spent()
    (lease,) = await bench.journal.claim(1)
    await bench.journal.load(lease)
    assert len((await bench.journal.outbox_take(10, ["tg"])).rows) == 1
    await bench.journal.accept([message("next")], Cursor(key="k", value="1"))
    await opened.store.write(lambda db: db.set_trace_callback(None))
    await reader.set_trace_callback(lambda _: None)

    assert len(statements) > 30
    assert await opened.store.write(lambda db: walks(db, statements)) == []


def walks(db: sqlite3.Connection, statements: list[str]) -> list[str]:
    """Return the steps of statements that look at all of a table, or of an index that is not of open rows."""
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")
    harmless = {name for (name,) in rows} | SMALL
    return [
        f"{step}: {sql}"
        for sql in statements
        if sql.split()[0] in ("SELECT", "UPDATE", "INSERT", "DELETE")
        for *_, step in db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        if step.startswith("SCAN ") and not harmless & set(step.split())
    ]
