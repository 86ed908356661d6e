"""What goes for good: by age, and by a person's word. What must stay, stays."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import JournalConfig
from clawd.daemon.keeper import FIRST_S, LEAST_S, MOST_S, Keeper
from clawd.errors import NotPossible
from clawd.ids import SystemClock, to_ms
from clawd.journal import sqlite_keeping
from clawd.journal.base import Snapshot
from clawd.journal.checking import check_state_dir
from clawd.journal.deliveries import Dead, Held, Parked, Sent
from clawd.journal.items import AdmittedMessage
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.records import TurnFinished, TurnMerged
from clawd.journal.retention import BATCH_ROWS, Position, forget_batch
from clawd.messages import Accepted, Duplicate
from clawd.store.upkeep import FREE_PAGES
from clawd.testing import ManualClock
from tests.conformance.journals import Bench, address, inbound, message
from tests.fakes.forked import fork_child
from tests.fakes.keeping_child import ANSWER, PLANTED, QUESTION, RESULT, showing
from tests.fakes.rich_journal import bench_of, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from clawd.journal.keeping import Progress

DAY_S = 86_400.0
KEEP_DAYS = 30


@pytest.fixture
async def opened(state_dir: Path) -> AsyncIterator[OpenJournal]:
    journal = await open_journal(state_dir, JournalConfig(keep_days=KEEP_DAYS), ManualClock())
    yield journal
    await journal.close()


async def no_pause() -> None:
    return


async def left(opened: OpenJournal) -> set[str]:
    """Return the questions that are still there."""
    return {turn.question for turn in await opened.views.turns(limit=1000)}


async def clean(state_dir: Path, opened: OpenJournal) -> None:
    await opened.close()
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()


# --- retention -------------------------------------------------------------------------------------------


async def test_what_is_older_than_it_is_kept_goes_with_all_that_is_told_of_it(
    bench: Bench, opened: OpenJournal, state_dir: Path
) -> None:
    await bench.answer("old", "reply")
    await bench.journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="1"))
    await bench.push("old news")
    await bench.journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="2"))
    await opened.store.write(
        lambda db: db.execute("INSERT INTO search (rowid, text) SELECT id, 'old' FROM journal")
    )
    await bench.clock.advance((KEEP_DAYS - 1) * DAY_S)
    await bench.answer("young", "reply", chat="2")
    assert await opened.keeping.forget(no_pause) == bench.clock.now() + timedelta(days=1)
    assert await left(opened) == {"old", "young"}
    await bench.clock.advance(DAY_S + 1)
    due = await opened.keeping.forget(no_pause)
    assert due == bench.clock.now() + timedelta(days=KEEP_DAYS - 1, seconds=-1)
    assert await left(opened) == {"young"}
    rest = await opened.store.read(
        "SELECT (SELECT count(*) FROM journal WHERE conv = 1), (SELECT count(*) FROM outbox WHERE conv = 1),"
        " (SELECT count(*) FROM search), (SELECT count(*) FROM dedup), (SELECT count(*) FROM conv)"
    )
    assert rest == [(0, 0, 0, 1, 2)]  # a conversation keeps its settings; dedup keys have their own age
    again = AdmittedMessage(message=inbound("old"), right="chat")
    (result,) = await bench.journal.accept([again])
    assert isinstance(result, Accepted)
    assert result.turn.endswith("-1-2"), "ids go on"
    await clean(state_dir, opened)


async def test_what_is_not_over_stays_however_old(bench: Bench, opened: OpenJournal, state_dir: Path) -> None:
    await bench.say("open", chat="open")
    for name, outcome in (("parked", Parked(why="")), ("held", Held(why="")), ("dead", Dead(why=""))):
        await bench.say(name, chat=name)
        (lease,) = [lease for lease in await bench.journal.claim(10) if lease.message.text == name]
        await bench.finish(lease, "reply")
        await bench.journal.outbox_mark((await bench.take_one()).row, outcome)
    await bench.answer("pending", "reply", chat="pending")
    await bench.say("given up", chat="letter")
    await bench.finish(await bench.claim(), outcome="dead")
    await bench.clock.advance(10 * KEEP_DAYS * DAY_S)
    await opened.keeping.forget(no_pause)
    assert await left(opened) == {"open", "parked", "held", "dead", "pending", "given up"}
    for letter in await opened.views.dead():
        await opened.admin.drop(letter.id)
    await opened.keeping.forget(no_pause)
    assert await left(opened) == {"open", "parked", "pending"}
    await clean(state_dir, opened)


async def test_a_turn_goes_whole_with_the_messages_that_were_merged_into_it(
    bench: Bench, opened: OpenJournal, state_dir: Path
) -> None:
    await bench.journal.accept([message("first"), message("second")])
    lease = await bench.claim()
    await bench.journal.record(lease, TurnMerged(step=1, seqs=(2,)))
    end = TurnFinished(outcome="answered", text="both", answers=(1, 2))
    await bench.journal.record(lease, end, done=True)
    await bench.clock.advance((KEEP_DAYS + 1) * DAY_S)
    await opened.keeping.forget(no_pause)
    assert await left(opened) == set()
    await clean(state_dir, opened)


async def test_a_merged_message_never_outlives_its_turn_by_a_write(
    bench: Bench, opened: OpenJournal, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clawd.journal.retention.BATCH_ROWS", 1)
    await bench.journal.accept([message("first"), message("second")])
    lease = await bench.claim()
    await bench.journal.record(lease, TurnMerged(step=1, seqs=(2,)))
    end = TurnFinished(outcome="answered", text="both", answers=(1, 2))
    await bench.journal.record(lease, end, done=True)
    await forget_batch(opened.store, Position(), before_ms=to_ms(bench.clock.now()) + 1)
    assert await left(opened) == set()


async def test_a_gap_behind_a_turn_that_stays_is_no_finding(
    bench: Bench, opened: OpenJournal, state_dir: Path
) -> None:
    await bench.say("dead letter")
    await bench.finish(await bench.claim(), outcome="dead")
    for number in range(3):
        await bench.say(f"{number}")
        await bench.finish(await bench.claim())
    await bench.clock.advance((KEEP_DAYS + 1) * DAY_S)
    await bench.say("young")
    await bench.finish(await bench.claim())
    await opened.keeping.forget(no_pause)
    assert await left(opened) == {"dead letter", "young"}
    await clean(state_dir, opened)


async def test_a_session_whose_beginning_went_goes_on_with_what_is_left(
    bench: Bench, opened: OpenJournal
) -> None:
    for number in range(3):
        await bench.say(f"{number}")
        await bench.finish(await bench.claim(), "reply")
        await bench.journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="1"))
        await bench.clock.advance(DAY_S)
    await bench.say("now")
    lease = await bench.claim()
    history = (await bench.journal.load(lease)).history
    await bench.journal.snapshot(lease, Snapshot(session=1, through_seq=3, turns=history))
    await bench.journal.release(lease)
    await bench.clock.advance((KEEP_DAYS - 1.5) * DAY_S)
    await opened.keeping.forget(no_pause)
    loaded = await bench.journal.load(await bench.claim())
    assert [turn.message.text for turn in loaded.history] == ["2"]


async def test_a_summary_outlives_the_turns_that_it_stands_for(bench: Bench, opened: OpenJournal) -> None:
    for number in range(2):
        await bench.say(f"{number}")
        await bench.finish(await bench.claim())
    await bench.say("now")
    lease = await bench.claim()
    history = (await bench.journal.load(lease)).history
    snapshot = Snapshot(session=1, through_seq=2, summary="they met", summary_seq=1, turns=history[1:])
    await bench.journal.snapshot(lease, snapshot)
    await bench.journal.release(lease)
    await bench.clock.advance((KEEP_DAYS + 1) * DAY_S)
    await opened.keeping.forget(no_pause)
    loaded = await bench.journal.load(await bench.claim())
    assert (loaded.summary, loaded.history) == ("they met", ())


async def test_a_pass_removes_a_bounded_number_of_rows_in_each_write(
    bench: Bench, opened: OpenJournal
) -> None:
    for number in range(400):
        await bench.say(str(number), chat=str(number % 5))
        await bench.finish(await bench.claim())
    await bench.clock.advance((KEEP_DAYS + 1) * DAY_S)
    before_ms = to_ms(bench.clock.now() - timedelta(days=KEEP_DAYS))
    position, batches = Position(), []
    while not position.done:
        done = await forget_batch(opened.store, position, before_ms=before_ms)
        position = done.position
        batches.append(done.rows)
    assert sum(batches) == 400 * 4  # accepted, started, finished, and the message
    assert max(batches) < BATCH_ROWS + 10
    assert len(batches) >= 4


async def test_free_pages_go_back_to_the_file_system(state_dir: Path) -> None:
    opened = await open_journal(state_dir, JournalConfig(keep_days=1), ManualClock())
    bench = bench_of(opened)
    for number in range(300):
        await bench.say(f"{number} " + "x" * 20_000, chat=str(number))
        await bench.finish(await bench.claim())
    await bench.clock.advance(2 * DAY_S)
    opened.store._upkeep._lazy_s = 0.05
    full = (await opened.keeping.facts()).bytes
    await opened.keeping.forget(no_pause)
    async with asyncio.timeout(50):
        while (facts := await opened.keeping.facts()).free_bytes > FREE_PAGES * 4096:
            await asyncio.sleep(0.02)
    assert facts.bytes < full / 3
    await opened.close()


async def test_the_keeper_looks_when_something_can_be_due(
    bench: Bench, opened: OpenJournal, state_dir: Path
) -> None:
    keeper = Keeper(opened.keeping, bench.clock)
    running = asyncio.ensure_future(keeper.run())
    await bench.clock.sleeping()
    await bench.answer("first", "reply")
    await bench.journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="1"))
    await bench.clock.advance(FIRST_S)
    await bench.clock.sleeping()
    assert keeper._until(None) == MOST_S
    assert keeper._until(bench.clock.now()) == LEAST_S
    for _ in range(KEEP_DAYS + 2):
        await bench.clock.sleeping()
        await bench.clock.advance(MOST_S)
    await bench.clock.sleeping()
    assert await left(opened) == set()
    running.cancel()
    await asyncio.wait({running})

    unlimited = await open_journal(state_dir / "other", JournalConfig(), bench.clock)
    only_files = asyncio.ensure_future(Keeper(unlimited.keeping, bench.clock).run())
    await bench.clock.sleeping()
    await bench.clock.advance(FIRST_S)
    await bench.clock.sleeping()
    await bench.clock.advance(MOST_S - 1)
    assert bench.clock.sleepers == 1, "without a limit only files are looked after, once a day"
    only_files.cancel()
    await asyncio.wait({only_files})
    await unlimited.close()


async def test_long_work_makes_no_task_that_nobody_owns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_keeping, "TELL_S", 0.01)
    told, before = threading.Event(), asyncio.all_tasks()
    seen: list[set[asyncio.Task[object]]] = []

    def work(step: Callable[[int, int], bool]) -> str:
        assert told.wait(20)
        return "done"

    async def tell(_: Progress) -> None:
        seen.append(asyncio.all_tasks() - before)
        told.set()

    assert await sqlite_keeping._in_thread(work, tell) == "done"
    assert not seen[0]


# --- deletion --------------------------------------------------------------------------------------------


async def test_a_deleted_conversation_is_nowhere_in_the_files(
    bench: Bench, opened: OpenJournal, state_dir: Path
) -> None:
    await fill(bench, question=QUESTION, answer=ANSWER, result=RESULT, open_turn=False)
    await opened.store.write(
        lambda db: db.execute(
            "INSERT INTO search (rowid, text) SELECT j.id, json_extract(i.body, '$.parts[0].text')"
            " FROM journal j JOIN inbox i USING (conv, seq)"
        )
    )
    for number in range(30):  # rows around it, changed and moved
        await bench.answer(f"another {number} " + "y" * 500, chat="2")
    assert showing(state_dir)
    assert await opened.store.read("SELECT count(*) FROM search WHERE search MATCH 'sapphire'") == [(8,)]
    dedup = await opened.store.read("SELECT key, body_sha256 FROM dedup ORDER BY key")
    assert await opened.admin.delete(address("1")) == 5
    assert await opened.keeping.scrub_if_wanted()
    assert showing(state_dir) == set()
    assert await opened.store.read("SELECT count(*) FROM search WHERE search MATCH 'sapphire'") == [(0,)]
    assert await opened.store.read("SELECT key, body_sha256 FROM dedup ORDER BY key") == dedup
    await clean(state_dir, opened)
    assert showing(state_dir) == set()


async def test_a_message_that_is_delivered_again_after_its_deletion_is_not_answered_again(
    bench: Bench, opened: OpenJournal
) -> None:
    first = AdmittedMessage(message=inbound("once"), right="chat")
    await bench.journal.accept([first])
    await bench.finish(await bench.claim())
    await opened.admin.delete(address("1"))
    (again,) = await bench.journal.accept([first])
    assert isinstance(again, Duplicate)
    assert await left(opened) == set()


async def test_an_open_turn_or_a_delivery_on_its_way_keeps_a_conversation(
    bench: Bench, opened: OpenJournal
) -> None:
    await bench.say("open")
    with pytest.raises(NotPossible):
        await opened.admin.delete(address("1"))
    await bench.finish(await bench.claim(), "reply")
    await bench.take_one()
    with pytest.raises(NotPossible):
        await opened.admin.delete(address("1"))
    assert await left(opened) == {"open"}


async def test_a_reader_in_the_way_is_waited_for_and_one_that_stays_is_told(
    bench: Bench, opened: OpenJournal, state_dir: Path
) -> None:
    await bench.say(QUESTION)
    await bench.finish(await bench.claim())
    reader = sqlite3.connect(state_dir / "clawd.db", isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM inbox").fetchall()
    await opened.admin.delete(address("1"))
    assert not await opened.store.scrub(tries=2)
    assert showing(state_dir)
    waiting = asyncio.ensure_future(opened.keeping.scrub_if_wanted())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    reader.close()
    async with asyncio.timeout(50):
        assert await waiting
    assert showing(state_dir) == set()


async def test_a_file_that_is_too_large_to_be_rewritten_gives_its_pages_back(
    bench: Bench, opened: OpenJournal, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clawd.store.sqlite.VACUUM_BYTES", 0)
    for number in range(20):
        await bench.say(f"{QUESTION} {number} " + "z" * 30_000)
        await bench.finish(await bench.claim())
    await opened.admin.delete(address("1"))
    assert await opened.keeping.scrub_if_wanted()
    facts = await opened.keeping.facts()
    assert facts.free_bytes == 0
    assert showing(state_dir) == set()


async def churn(bench: Bench) -> None:
    """Fill pages with the rows of two conversations, which move and grow as their turns end."""
    dice = random.Random(1)
    for number in range(150):
        chat = dice.choice("122")
        text = f"sapphire {number}" if chat == "1" else f"other {number}"
        await bench.say(text + "z" * dice.randint(10, 1200), chat=chat)
    for _ in range(150):
        await bench.finish(await bench.claim())


@pytest.mark.parametrize("large", [False, True])
async def test_stale_copies_of_rows_that_moved_are_wiped_too(
    bench: Bench, opened: OpenJournal, state_dir: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """In a small file by rewriting it, whatever version made it; in a large one as they come about."""
    if large:
        monkeypatch.setattr("clawd.store.sqlite.VACUUM_BYTES", 0)
    else:  # as an earlier version wrote it
        await opened.store.write(lambda db: db.execute("PRAGMA secure_delete = OFF"))
    await churn(bench)
    await opened.admin.delete(address("1"))
    assert await opened.keeping.scrub_if_wanted()
    assert showing(state_dir) == set()


# --- kills -----------------------------------------------------------------------------------------------


@pytest.fixture
async def reopen() -> AsyncIterator[Callable[[Path], Awaitable[OpenJournal]]]:
    """Opens a journal that is closed in the end, so that a test that fails leaves no thread behind."""
    journals: list[OpenJournal] = []

    async def open_one(state_dir: Path) -> OpenJournal:
        journals.append(await open_journal(state_dir, JournalConfig(), SystemClock()))
        return journals[-1]

    yield open_one
    for journal in journals:
        await journal.close()


async def child(verb: str, state_dir: Path, fault: str = "", days: int = 0) -> int:
    process = await fork_child(
        "tests.fakes.keeping_child", verb, str(state_dir), str(days), CLAWD_FAULT=fault
    )
    async with asyncio.timeout(50):
        await process.stdout.read()
        return await process.wait()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_around_a_deletion_leaves_all_of_it_or_nothing_and_the_next_start_wipes_the_files(
    state_dir: Path, moment: str, reopen: Callable[[Path], Awaitable[OpenJournal]]
) -> None:
    assert await child("fill", state_dir) == 0
    assert showing(state_dir)
    assert await child("delete", state_dir, f"journal.{moment}_commit:delete:1:kill") == -9
    opened = await reopen(state_dir)
    rows = await opened.store.read("SELECT count(*) FROM conv WHERE address = ?", (str(address("1")),))
    assert rows == [(int(moment == "before"),)]
    keeper = asyncio.ensure_future(Keeper(opened.keeping, ManualClock()).run())
    async with asyncio.timeout(50):
        while await opened.store.read("SELECT 1 FROM kv WHERE key = 'scrub'"):
            await asyncio.sleep(0.02)
    assert bool(showing(state_dir)) == (moment == "before")
    keeper.cancel()
    await asyncio.wait({keeper})
    await opened.close()
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_around_a_batch_of_retention_leaves_whole_turns(state_dir: Path, moment: str) -> None:
    assert await child("fill", state_dir) == 0  # its clock stands in January 2026
    fault = f"journal.{moment}_commit:retention:1:kill"
    assert await child("forget", state_dir, fault, days=30) == -9
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()
    with closing(sqlite3.connect(state_dir / "clawd.db")) as db:
        (left,) = db.execute("SELECT count(*) FROM inbox WHERE conv = 1").fetchone()
    assert left == (5 if moment == "before" else 0)
    assert await child("forget", state_dir, days=30) == 0
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_around_the_rewriting_of_an_old_file_loses_nothing(
    state_dir: Path, moment: str, reopen: Callable[[Path], Awaitable[OpenJournal]]
) -> None:
    assert await child("fill", state_dir) == 0
    with closing(sqlite3.connect(state_dir / "clawd.db", isolation_level=None)) as db:
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")  # as a version before this one made it
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    assert await child("forget", state_dir, f"journal.{moment}_commit:vacuum:1:kill") == -9
    opened = await reopen(state_dir)
    assert (await opened.keeping.facts()).shrinks
    assert len(await left(opened)) == 8
    await opened.close()
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()


def test_the_planted_words_would_be_seen() -> None:
    said = f"{QUESTION} {ANSWER} {RESULT}".encode()
    assert all(part in said for part in PLANTED)
