"""`clawd journal check`: a sound journal is clean, and each broken invariant is exactly one finding."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import JournalConfig
from clawd.errors import JournalCorrupt, JournalError, JournalLocked
from clawd.ids import SystemClock
from clawd.journal.checking import MOST, check_file, check_state_dir
from clawd.journal.keeping import Progress
from clawd.journal.opening import open_journal
from tests.conformance.journals import message
from tests.fakes.folders import BASE
from tests.fakes.rich_journal import rich_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.journal.opening import OpenJournal
    from tests.conformance.journals import Bench


@pytest.fixture(scope="module")
def original() -> Iterator[Path]:
    """A sound state directory, made once."""
    path = Path(tempfile.mkdtemp(prefix="clawd-", dir=BASE))
    asyncio.run(rich_journal(path))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def broken(original: Path, state_dir: Path, *statements: str) -> set[tuple[str, str]]:
    """Return the findings (id, where) in a copy in which these statements were carried out."""
    shutil.copytree(original, state_dir, dirs_exist_ok=True)
    with closing(sqlite3.connect(state_dir / "clawd.db", isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            done = db.execute(statement)
            assert done.rowcount != 0, statement
        (instance,) = db.execute("SELECT value FROM kv WHERE key = 'instance'").fetchone() or ("?",)
    found = check_state_dir(state_dir)
    for finding in found.findings:
        assert finding.what
        assert finding.severity in ("error", "warning")
    return {(f.id, f.where.replace(str(instance), "i")) for f in found.findings}


def test_a_sound_journal_with_a_bit_of_everything_is_clean(original: Path, state_dir: Path) -> None:
    assert broken(original, state_dir) == set()
    report = check_state_dir(state_dir)
    assert (report.turns, report.conversations, report.count) == (9, 5, 0)


def at_end(statement: str) -> str:
    """Let a statement mean the record of the first turn's end."""
    return statement.replace("@END", "kind = 'turn.finished' AND conv = 1 AND seq = 1")


def without_turn_5() -> tuple[str, ...]:
    """Return what removes all that is told of a turn."""
    rest = " WHERE conv = 1 AND seq = 5"
    return tuple(
        f"{delete}{rest}" for delete in ("DELETE FROM inbox", "DELETE FROM journal", "DELETE FROM outbox")
    )


BREAKS: dict[str, tuple[set[tuple[str, str]], tuple[str, ...]]] = {
    "a message between two others is gone": (
        {("inbox.gap", "tg:bot:1"), ("journal.orphan", "turn:i-1-5"), ("outbox.orphan", "delivery:i-4")},
        ("DELETE FROM inbox WHERE conv = 1 AND seq = 5",),
    ),
    "a message and all that is told of it is gone": (
        {("inbox.gap", "tg:bot:1")},
        without_turn_5(),
    ),
    "the newest message is gone": (
        {("inbox.gap", "tg:bot:5"), ("kv.open_turns", "open_turns"), ("journal.orphan", "turn:i-5-1")},
        ("DELETE FROM inbox WHERE conv = 5",),
    ),
    "a message lies behind the last one": (
        {("inbox.gap", "tg:bot:5"), ("conv.ready_idle", "tg:bot:5")},
        ("UPDATE conv SET last_seq = 0 WHERE id = 5",),
    ),
    "more turns count as over than there are messages": (
        {("conv.done_seq", "tg:bot:2")},
        ("UPDATE conv SET done_seq = 7 WHERE id = 2",),
    ),
    "an open turn is passed over": (
        {("turn.passed_over", "turn:i-5-1"), ("conv.ready_idle", "tg:bot:5")},
        ("UPDATE conv SET done_seq = 1 WHERE id = 5",),
    ),
    "a turn is over and does not count": (
        {("conv.done_seq", "turn:i-2-1"), ("conv.never_ready", "tg:bot:2")},
        ("UPDATE conv SET done_seq = 0 WHERE id = 2",),
    ),
    "nobody would be woken for a message": (
        {("conv.never_ready", "tg:bot:5")},
        ("UPDATE conv SET ready_at = NULL WHERE id = 5",),
    ),
    "somebody would be woken for nothing": (
        {("conv.ready_idle", "tg:bot:2")},
        ("UPDATE conv SET ready_at = 5 WHERE id = 2",),
    ),
    "a turn in work would be taken again": (
        {("conv.owned_and_ready", "tg:bot:1")},
        ("UPDATE conv SET ready_at = 5 WHERE id = 1",),
    ),
    "nobody would send a delivery": (
        {("conv.never_sent", "tg:bot:3")},
        ("UPDATE conv SET send_at = NULL WHERE id = 3",),
    ),
    "a delivery would be looked for that can't go": (
        {("conv.send_idle", "tg:bot:2")},
        ("UPDATE conv SET send_at = 5 WHERE id = 2",),
    ),
    "a turn has no end": ({("turn.no_end", "turn:i-1-1")}, (at_end("DELETE FROM journal WHERE @END"),)),
    "a turn has two ends": (
        {("turn.finished_twice", "turn:i-1-1")},
        (
            at_end(
                "INSERT INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body) SELECT conv, seq, step,"
                " attempt + 1, kind, v, epoch, ts, body FROM journal WHERE @END"
            ),
        ),
    ),
    "an open turn has an end": (
        {("turn.finished_open", "turn:i-5-1")},
        (
            at_end(
                "INSERT INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body) SELECT 5, 1, step,"
                " attempt, kind, v, epoch, ts, body FROM journal WHERE @END"
            ),
        ),
    ),
    "an end answers nothing": (
        {("turn.no_answers", "turn:i-1-1")},
        (at_end("UPDATE journal SET body = json_set(body, '$.answers', json('[]')) WHERE @END"),),
    ),
    "an end claims another turn's message": (
        {("message.claimed", "turn:i-1-1")},
        (at_end("UPDATE journal SET body = json_set(body, '$.answers', json('[1, 5]')) WHERE @END"),),
    ),
    "an end does not name a merged message": (
        {("message.unanswered", "turn:i-1-4")},
        (
            "UPDATE journal SET body = json_set(body, '$.answers', json('[2, 3]'))"
            " WHERE kind = 'turn.finished' AND conv = 1 AND seq = 2",
        ),
    ),
    "a merged message has an end of its own": (
        {("message.answered_twice", "turn:i-1-3")},
        (
            at_end(
                "INSERT INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body) SELECT 1, 3, step,"
                " attempt, kind, v, epoch, ts, body FROM journal WHERE @END"
            ),
        ),
    ),
    "a message is merged into a turn that is not there": (
        {("message.merged", "turn:i-1-5")},
        ("UPDATE inbox SET merged_into = 77 WHERE conv = 1 AND seq = 5",),
    ),
    "a merged message is open and its turn is over": (
        {
            ("message.state", "turn:i-1-3"),
            ("turn.passed_over", "turn:i-1-3"),
            ("kv.open_turns", "open_turns"),
        },
        ("UPDATE inbox SET state = 'running' WHERE conv = 1 AND seq = 3",),
    ),
    "state and end of a turn differ": (
        {("turn.outcome", "turn:i-1-1")},
        ("UPDATE inbox SET state = 'failed' WHERE conv = 1 AND seq = 1",),
    ),
    "a turn is in a state that there is not": (
        {("turn.state", "turn:i-1-1")},
        ("UPDATE inbox SET state = 'lost' WHERE conv = 1 AND seq = 1",),
    ),
    "a turn waits without a deadline": (
        {("turn.waits_for_ever", "turn:i-5-1")},
        ("UPDATE inbox SET state = 'waiting' WHERE conv = 5",),
    ),
    "no record tells of a message": (
        {("journal.not_accepted", "turn:i-1-5")},
        ("DELETE FROM journal WHERE kind = 'accepted' AND conv = 1 AND seq = 5",),
    ),
    "a record is of a kind nobody knows": (
        {("journal.unknown", "turn:i-1-1")},
        ("UPDATE journal SET kind = 'turn.dreamt' WHERE kind = 'turn.started' AND conv = 1 AND seq = 1",),
    ),
    "a record is of a later version": (
        {("journal.unknown", "turn:i-1-1")},
        ("UPDATE journal SET v = 9 WHERE kind = 'turn.started' AND conv = 1 AND seq = 1",),
    ),
    "a record can't be read": (
        {("journal.unknown", "turn:i-1-1")},
        ("UPDATE journal SET body = '{' WHERE kind = 'llm.result' AND step = 4 AND conv = 1 AND seq = 1",),
    ),
    "a call of an answered turn has no result": (
        {("tool.no_result", "turn:i-1-1")},
        ("DELETE FROM journal WHERE conv = 1 AND seq = 1 AND step >= 2 AND kind LIKE '%.result'",),
    ),
    "a step is missing": (
        {("step.hole", "turn:i-1-1")},
        ("DELETE FROM journal WHERE conv = 1 AND seq = 1 AND step = 3",),
    ),
    "a result stands without the response that asked for it": (
        {("tool.unasked", "turn:i-1-1")},
        (
            "UPDATE journal SET body = json_set(body, '$.response.tool_calls', json('[]'))"
            " WHERE conv = 1 AND seq = 1 AND step = 1 AND kind = 'llm.result'",
        ),
    ),
    "the response that asked is missing": (
        {("step.hole", "turn:i-1-1")},
        ("DELETE FROM journal WHERE conv = 1 AND seq = 1 AND step = 1",),
    ),
    "a response comes before the results that it needs": (
        {("step.order", "turn:i-1-1")},
        (
            "DELETE FROM journal WHERE conv = 1 AND seq = 1 AND step = 3",
            "UPDATE journal SET step = 3 WHERE conv = 1 AND seq = 1 AND step = 4",
        ),
    ),
    "a call stands without the response that asked for it": (
        {("tool.unasked", "turn:i-4-1")},
        ("UPDATE journal SET step = 7 WHERE conv = 4 AND kind = 'tool.intent'",),
    ),
    "deliveries lost their turn": (
        {("outbox.orphan", "delivery:i-1")},
        ("UPDATE outbox SET seq = 99 WHERE id = 1",),
    ),
    "a delivery is in a state that there is not": (
        {("outbox.state", "delivery:i-1")},
        ("UPDATE outbox SET state = 'gone' WHERE id = 1",),
    ),
    "a preview stays open though the turn is over": (
        {("outbox.stuck", "delivery:i-1")},
        ("UPDATE outbox SET state = 'open' WHERE id = 1",),
    ),
    "a delivery without text holds its line": (
        {("outbox.empty", "tg:bot:2"), ("outbox.stuck", "delivery:i-5")},
        ("UPDATE outbox SET body = NULL WHERE id = 5",),
    ),
    "a push is in a state that there is not": (
        {("outbox.state", "delivery:i-6")},
        ("UPDATE outbox SET state = 'open' WHERE id = 6",),
    ),
    "no record tells of a push": (
        {("outbox.unlisted", "delivery:i-6")},
        ("DELETE FROM journal WHERE kind = 'pushed' AND step = 6",),
    ),
    "a recorded push is gone": (
        {("journal.push_lost", "delivery:i-6")},
        ("DELETE FROM outbox WHERE id = 6",),
    ),
    "open turns are counted wrongly": (
        {("kv.open_turns", "open_turns")},
        ("UPDATE kv SET value = 5 WHERE key = 'open_turns'",),
    ),
    "the journal lost its name": (
        {("kv.instance", "instance")},
        ("DELETE FROM kv WHERE key = 'instance'",),
    ),
    "more can be found than was said": (
        {("kv.search_done", "search_done")},
        ("INSERT INTO kv (key, value) VALUES ('search_done', 100000)",),
    ),
    "a stop waits for a turn that is over": (
        {("control.late", "turn:i-1-1")},
        ("INSERT INTO control (conv, target_seq, kind, at) VALUES (1, 1, 'stop', 1)",),
    ),
    "a snapshot holds what there is not": (
        {("snapshot.ahead", "tg:bot:1")},
        ("INSERT INTO snapshot VALUES (1, 1, 0, 99, 1, 1, '{}')",),
    ),
    "a sum is negative": (
        {("spend.sum", "2026-01-01 m")},
        ("UPDATE spend SET output_tokens = -1 WHERE conv = 1",),
    ),
    "more calls failed than there were": (
        {("spend.sum", "2026-01-01 m")},
        ("UPDATE spend SET failed = calls + 1 WHERE conv = 1",),
    ),
    "a sum is forgotten, and names a person": (
        {("spend.whose", "2026-01-01 m")},
        ("UPDATE spend SET conv = 0 WHERE conv = 1",),
    ),
    "a sum belongs to no conversation": (
        {("spend.whose", "2026-01-01 m")},
        ("UPDATE spend SET conv = 77 WHERE conv = 1",),
    ),
    "a request is under way of a turn that is over": (
        {("spend.open", "tg:bot:2")},
        ("UPDATE spend_open SET conv = 2",),
    ),
    "an answer was not counted": (
        {("spend.missing", "2026-01-01 m")},
        ("UPDATE spend SET cost = cost - 1 WHERE conv = 1",),
    ),
    "a failed request was not counted": (
        {("spend.missing", "2026-01-01 n")},
        ("DELETE FROM spend WHERE model = 'n'",),
    ),
    "a conversation is gone under its turns": (
        {("file.reference", "db")},
        ("DELETE FROM conv WHERE id = 2",),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_invariant_is_found_and_nothing_else(original: Path, state_dir: Path, name: str) -> None:
    expected, statements = BREAKS[name]
    found = broken(original, state_dir, *statements)
    if name.startswith("a conversation is gone"):
        found = {(id_, "db") for id_, where in found if where == str(state_dir / "clawd.db")}
    assert found == expected


def test_dedup_keys_may_point_to_turns_that_are_gone(original: Path, state_dir: Path) -> None:
    assert broken(original, state_dir, "UPDATE dedup SET seq = 999 WHERE seq IS NOT NULL") == set()


def test_what_a_person_gave_up_needs_no_record_of_its_end(original: Path, state_dir: Path) -> None:
    found = broken(
        original,
        state_dir,
        "DELETE FROM journal WHERE kind = 'turn.finished' AND conv = 2",
        "UPDATE inbox SET state = 'dead', dropped = 1 WHERE conv = 2",
    )
    assert found == set()


def test_gaps_that_retention_left_are_none(original: Path, state_dir: Path) -> None:
    assert broken(original, state_dir, *without_turn_5(), "INSERT INTO kv VALUES ('forgotten:1', 5)") == set()


def test_a_side_file_above_the_database_is_told(original: Path, state_dir: Path) -> None:
    shutil.copytree(original, state_dir, dirs_exist_ok=True)
    (state_dir / "journal.mark").write_text(json.dumps({"highest": 10_000}))
    (finding,) = check_state_dir(state_dir).findings
    assert finding.id == "file.cut"
    assert "10000" in finding.what


def test_damage_in_an_index_is_told(original: Path, state_dir: Path) -> None:
    shutil.copytree(original, state_dir, dirs_exist_ok=True)
    path = state_dir / "clawd.db"
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'journal_turn'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096 + 2000)
        file.write(b"\xff" * 1500)
    assert {finding.id for finding in check_state_dir(state_dir).findings} == {"file.damaged"}


def test_a_file_without_its_first_page_is_exit_74(original: Path, state_dir: Path) -> None:
    shutil.copytree(original, state_dir, dirs_exist_ok=True)
    path = state_dir / "clawd.db"
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)
    with pytest.raises(JournalCorrupt) as caught:
        check_state_dir(state_dir)
    assert caught.value.exit_code == 74


def test_a_journal_that_is_in_use_missing_or_foreign_is_refused(state_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal"):
        check_state_dir(state_dir)
    with closing(sqlite3.connect(state_dir / "clawd.db")) as db:
        db.execute("CREATE TABLE t (a)")
    with pytest.raises(JournalCorrupt, match="another program"):
        check_state_dir(state_dir)


def test_findings_without_end_are_counted_and_not_kept(original: Path, state_dir: Path) -> None:
    shutil.copytree(original, state_dir, dirs_exist_ok=True)
    with closing(sqlite3.connect(state_dir / "clawd.db", isolation_level=None)) as db:
        db.execute("BEGIN")
        for number in range(100, 100 + MOST + 50):
            db.execute(
                "INSERT INTO conv (id, address, bridge, last_seq, settings) VALUES (?, ?, 'x', 0, '')",
                (number, f"x:y:{number}"),
            )
            db.execute("UPDATE conv SET ready_at = 1 WHERE id = ?", (number,))
        db.execute("COMMIT")
    report = check_state_dir(state_dir)
    assert (len(report.findings), report.count) == (MOST, MOST + 50)


def test_the_check_leaves_the_files_as_they_are(original: Path, state_dir: Path) -> None:
    shutil.copytree(original, state_dir, dirs_exist_ok=True)
    before = {path.name: path.read_bytes() for path in state_dir.iterdir() if path.name != "lock"}
    check_state_dir(state_dir)
    assert {path.name: path.read_bytes() for path in state_dir.iterdir() if path.name != "lock"} == before


async def test_a_journal_in_use_is_checked_beside_its_writer(bench: Bench, opened: OpenJournal) -> None:
    """Rows change while they are read, piece by piece: that alone is no finding."""
    stop = asyncio.Event()

    async def work() -> None:
        number = 0
        while not stop.is_set():
            await bench.journal.accept([message(str(number), chat=str(number % 50))])
            await bench.finish(await bench.claim(), "reply")
            number += 1

    async def tell(_: Progress) -> None:
        return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work())
        turns = 0
        while turns < 150:
            report = await opened.keeping.check(quick=False, tell=tell)
            assert report.findings == ()
            turns = report.turns
        stop.set()


async def test_what_is_only_so_for_an_instant_is_no_finding(
    bench: Bench, opened: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces are read at different instants; a second look tells what was only a transition."""
    monkeypatch.setattr("clawd.journal.checking._OPS", 1)
    for chat in "123":
        await bench.say(chat=chat)
    await opened.store.write(lambda db: db.execute("UPDATE conv SET ready_at = NULL"))

    def seen(rows: int) -> bool:
        if rows > 3:  # the conversations were read
            with closing(sqlite3.connect(opened.store.path, isolation_level=None)) as db:
                db.execute("UPDATE conv SET ready_at = 1 WHERE ready_at IS NULL")
        return True

    check = partial(check_file, opened.store.path, mark=None, tell=seen)
    report = await asyncio.to_thread(check, owner=opened.journal._context.owner)
    assert report.findings == ()


async def test_a_delivery_held_by_a_process_that_is_gone_is_found_while_another_works(
    bench: Bench, opened: OpenJournal
) -> None:
    async def tell(_: Progress) -> None:
        return

    await bench.answer()
    await bench.take_one()
    assert (await opened.keeping.check(quick=False, tell=tell)).findings == ()
    await opened.store.write(lambda db: db.execute("UPDATE outbox SET owner = 'gone'"))
    (finding,) = (await opened.keeping.check(quick=False, tell=tell)).findings
    assert finding.id == "outbox.stuck"


async def test_a_quick_look_sees_work_that_lies_about_and_reads_no_turns(
    bench: Bench, opened: OpenJournal
) -> None:
    async def tell(_: Progress) -> None:
        return

    await bench.say()
    await opened.store.write(lambda db: db.execute("UPDATE conv SET ready_at = NULL"))
    await opened.store.write(lambda db: db.execute("DELETE FROM journal"))
    report = await opened.keeping.check(quick=True, tell=tell)
    assert [finding.id for finding in report.findings] == ["conv.never_ready"]


async def test_the_lock_is_respected_and_given_back(state_dir: Path) -> None:
    opened = await open_journal(state_dir, JournalConfig(), SystemClock())
    with pytest.raises(JournalLocked):
        await asyncio.to_thread(check_state_dir, state_dir)
    await opened.close()
    for _ in range(2):
        assert (await asyncio.to_thread(check_state_dir, state_dir)).count == 0


def test_a_check_that_nobody_waits_for_stops(original: Path, state_dir: Path) -> None:
    shutil.copytree(original, state_dir, dirs_exist_ok=True)
    with closing(sqlite3.connect(state_dir / "clawd.db")) as db:
        db.executemany(
            "INSERT INTO conv (address, bridge, settings) VALUES (?, 'x', '')",
            [(f"x:{n}",) for n in range(20000)],
        )
        db.commit()
    gone = threading.Event()
    gone.set()
    with pytest.raises(JournalError, match="given up"):
        check_file(state_dir / "clawd.db", mark=None, tell=lambda _: not gone.is_set())
