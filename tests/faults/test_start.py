"""Starts on what another process, a crash or a disk has done to the database."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from clawd.errors import EXIT_JOURNAL, EXIT_TRY_LATER
from tests.crash.world import World, answer_to, world
from tests.faults.house import events, start_under, state_of, until
from tests.seeds import dice


def told(here: World) -> list[str]:
    """The last error on standard error, line by line."""
    text = here.tail(200)
    assert "Traceback" not in text
    return text[text.rindex("error[") :].splitlines()


def cuts(here: World) -> list[str]:
    """What the log says of a journal that ends too early."""
    warnings = [str(event["warning"]) for event in events(here, "start_warning")]
    return [warning for warning in warnings if "the end of the journal is missing" in warning]


@pytest.mark.timeout(300)
async def test_a_database_that_may_not_be_written_is_refused_in_four_lines(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        assert await here.stop() == 0
        path = state_of(here) / "clawd.db"
        before = path.read_bytes()
        mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
        await start_under(here, "unshare", "-rm", "sh", "-c", mount, "sh", str(path))
        assert await here.wait_dead() == EXIT_JOURNAL
        lines = told(here)
        assert [line.partition(":")[0] for line in lines] == ["error[E-JOURNAL]", "where", "why", "try"], (
            lines
        )
        assert str(path) in lines[1]
        assert path.read_bytes() == before
        await here.start()
        assert await here.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_database_that_another_process_holds_is_waited_for_and_nothing_is_acknowledged(
    state_dir: Path,
) -> None:
    async with world(state_dir, journal={"lock_timeout_s": 3}) as here:
        await here.start()
        other = sqlite3.connect(state_of(here) / "clawd.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        here.say(11, "a-0")
        writer = asyncio.create_task(until(lambda: events(here, "updates_wait")))  # noqa: TID251 - ends below
        answers = 0
        while not writer.done():
            await here.control("status")
            answers += 1
        await writer
        assert answers > 10, "the loop waits with the writer"
        assert (here.telegram.pending(), here.answers(11)) == (1, [])
        other.execute("ROLLBACK")
        await here.all_answered()
        assert not here.judge().broken
        assert await here.stop() == 0
        other.execute("BEGIN IMMEDIATE")
        await here.start()
        assert await here.wait_dead() == EXIT_TRY_LATER
        assert told(here)[0].partition(":")[0] == "error[E-JOURNAL-BUSY]"
        other.execute("ROLLBACK")
        other.close()
        await here.start()
        assert await here.stop() == 0


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("how", ["removed", "damaged"])
async def test_a_cut_log_is_told_loudly_and_what_telegram_still_has_is_fetched_again(
    how: str, state_dir: Path
) -> None:
    async with world(state_dir) as here:
        await here.start()
        assert await here.stop() == 0
        path = state_of(here) / "clawd.db"
        log = path.with_name("clawd.db-wal")
        # Somebody reads: from now on nothing gets from the log into the database.
        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM kv").fetchone()
        await here.start()
        here.say(11, "a-0")
        await here.all_answered()
        await here.settled()
        with sqlite3.connect(path) as db:
            ((highest,),) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'")
        db.close()
        # Its offset is confirmed by the next poll: that is open now, and a-1 comes by it.
        await here.telegram.wait_until(lambda: here.telegram.pending() == 0)
        mark = state_of(here) / "journal.mark"
        await until(lambda: json.loads(mark.read_text())["highest"] >= highest, 30)
        here.telegram.fault("getUpdates", "hang")  # the next one, which would confirm what comes now
        here.say(11, "a-1")
        await here.all_answered()
        await here.kill()
        reader.close()
        here.telegram.clear_faults()
        if how == "removed":
            log.unlink()
        else:
            with log.open("r+b") as file:
                file.seek(log.stat().st_size // 4)
                file.write(dice(7).randbytes(8))
        await here.start()
        (cut,) = cuts(here)
        assert f"entries up to {highest} had been committed" in cut
        # Its answer was forgotten with the rest: better twice than never.
        await here.telegram.wait_until(lambda: here.answers(11).count(answer_to("a-1")) == 2, 20)
        here.say(11, "a-2")
        await here.all_answered()
        assert await here.stop() == 0
        await here.start()
        assert len(cuts(here)) == 1, "it is told once"
