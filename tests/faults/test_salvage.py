"""A database that is damaged: the start refuses it untouched, and `clawd doctor --salvage` saves what it can."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from clawd.errors import EXIT_JOURNAL, EXIT_LOCKED
from tests.crash.world import World, answer_to, world
from tests.fakes.openai_api import Reply
from tests.fakes.shell import Shell
from tests.faults.house import state_of
from tests.seeds import dice

PAGE = 4096
MESSAGES = 60
SHORT = {"grace_s": 0.1, "delivery_s": 0.1}


async def used(here: World) -> None:
    """Run a daemon that answers a chat, and stop it while one message waits and one reply is not sent."""
    here.model.choose = lambda seen: Reply(hang="headers") if "waits" in seen.last_user_text else None
    await here.start()
    for n in range(MESSAGES):
        here.say(11, f"m-{n} {'x' * 300}")
    await here.all_answered()
    await here.settled()
    here.telegram.fault("sendMessage", "429", chat=12, count=1000, retry_after=3)
    here.say(12, "not sent")
    here.say(13, "waits")
    await here.model.arrived(MESSAGES + 2)
    await here.telegram.wait_until(lambda: here.telegram.calls("sendMessage", 12))
    assert await here.stop() == 0
    here.model.release.set()
    here.model.choose = None
    here.telegram.clear_faults()


def pages(path: Path, *tables: str) -> list[int]:
    """Return the numbers of the leaf pages of these tables and indexes."""
    db = sqlite3.connect(path)
    marks = ", ".join("?" * len(tables))
    sql = f"SELECT pageno FROM dbstat WHERE pagetype = 'leaf' AND name IN ({marks}) ORDER BY pageno"  # noqa: S608 - marks only
    found = [number for (number,) in db.execute(sql, tables)]
    db.close()
    return found


def check_search(path: Path) -> None:
    """Raise what SQLite finds wrong in the index of what was said."""
    db = sqlite3.connect(path)
    db.execute("INSERT INTO search (search) VALUES ('integrity-check')")
    db.rollback()
    db.close()


def damage(path: Path, numbers: Sequence[int]) -> None:
    noise = dice(7)
    with path.open("r+b") as file:
        for number in numbers:
            file.seek((number - 1) * PAGE)
            file.write(noise.randbytes(PAGE))


def digests(folder: Path) -> dict[str, str]:
    kept = ("clawd.db", "clawd.db-wal", "journal.mark")
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name in kept}


async def refused(here: World) -> None:
    """The daemon does not start on this, says so in four lines, and leaves the files as they are."""
    before = digests(state_of(here))
    here.output.write_bytes(b"")
    await here.start()
    assert await here.wait_dead() == EXIT_JOURNAL
    told = here.output.read_text(encoding="utf-8")
    lines = told[told.index("error[E-JOURNAL-CORRUPT]") :].splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error[E-JOURNAL-CORRUPT]", "where", "why", "try"]
    assert "clawd doctor --salvage" in lines[3]
    assert "Traceback" not in told
    assert digests(state_of(here)) == before


@pytest.mark.timeout(300)
async def test_a_damaged_database_is_refused_untouched_and_salvaged_on_command(state_dir: Path) -> None:
    async with world(state_dir, shutdown=SHORT) as here:
        await used(here)
        clawd, path = Shell(state_dir), state_of(here) / "clawd.db"
        whole = path.read_bytes()
        journal = pages(path, "journal")
        damaged = {
            "the schema": [1, *pages(path, "sqlite_schema")],
            "a page in the middle": journal[len(journal) // 2 :][:1],
            "every third page of the journal": journal[::3],
            "the known ids": pages(path, "dedup"),
        }
        for name, numbers in damaged.items():
            path.write_bytes(whole)
            damage(path, numbers)
            if name in ("the schema", "a page in the middle"):
                await refused(here)
            bad = hashlib.sha256(path.read_bytes()).hexdigest()
            result = await clawd("doctor", "--salvage", "--json")
            assert result.code == 0, (name, result)
            rows = {table["name"]: table["rows"] for table in result.json["tables"]}
            gaps = sum(table["gaps"] for table in result.json["tables"])
            assert (rows["dedup"], rows["inbox"], rows["conv"]) == (MESSAGES + 2, MESSAGES + 2, 3), (
                name,
                rows,
            )
            assert "1 unanswered messages will be answered at the next start" in result.json["notes"]
            assert (gaps > 0) == (name != "the schema")
            assert rows["journal"] > 2 * MESSAGES, "what is behind a damaged page was left out"
            check_search(path)
            aside = Path(result.json["aside"])
            assert hashlib.sha256((aside / "clawd.db").read_bytes()).hexdigest() == bad
        # The last one goes on.
        again = await clawd("doctor", "--salvage")
        assert (again.code, "the database is whole" in again.err) == (1, True)
        assert not (state_of(here) / "salvage").exists()
        await here.start()
        busy = await clawd("doctor", "--salvage")
        assert (busy.code, "error[E-LOCKED]" in busy.err) == (EXIT_LOCKED, True)
        await here.all_answered()
        await here.settled()
        assert not here.judge().broken, here.tail()
        assert [here.paid_for(text) for text in ("not sent", "m-0 " + "x" * 300)] == [1, 1]
        here.say(11, "and now?")
        await here.telegram.wait_until(lambda: answer_to("and now?") in here.answers(11))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_message_behind_a_lost_one_is_a_dead_letter_and_holds_nobody_up(state_dir: Path) -> None:
    async with world(state_dir, shutdown=SHORT) as here:
        here.model.default = Reply(hang="headers")
        await here.start()
        for n in range(40):
            here.telegram.user_says(11, f"m-{n} {'x' * 2000}")
        await here.model.arrived()
        await here.telegram.wait_until(lambda: here.telegram.pending() == 0)
        assert await here.stop() == 0
        path = state_of(here) / "clawd.db"
        inbox = pages(path, "inbox")
        damage(path, inbox[len(inbox) // 2 :][:1])
        clawd = Shell(state_dir)
        result = await clawd("doctor", "--salvage")
        assert "had a lost one behind them: clawd dead list, dead resubmit" in result.out, result
        here.model.default = Reply()
        here.model.release.set()
        await here.start()
        here.say(11, "the last")
        await here.telegram.wait_until(lambda: answer_to("the last") in here.answers(11), 20)
        dead = (await here.control("dead"))["dead"]
        answered = [text for text in here.answers(11) if text.startswith("you said: m-")]
        assert len(dead) + len(answered) in range(36, 40), (len(dead), len(answered))
