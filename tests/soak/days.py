"""`python -m tests.soak.days [--turns 20000] [--days 20]`: the same people over many days, of which few are kept.

The daemon's wall clock is set a day on, by libfaketime, whenever it has nothing to do; its steady clock is left alone.
What is judged: what is too old is gone, what keeps a message from being answered twice is not, a turn that
stays open for longer has lost nothing, and from some day on the database no longer grows.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.soak.people import ApiChat
from tests.soak.plugin import UPKEEP
from tests.soak.samples import MB
from tests.soak.stage import stage
from tests.soak.words import said

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soak.stage import Stage

LIBRARIES: Final = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
KEEP_DAYS: Final = 2
DEDUP_DAYS: Final = 7  # the least that a configuration can ask for
LEVEL: Final = KEEP_DAYS + DEDUP_DAYS + 1  # days after which nothing may grow any more
HELD_DAYS: Final = KEEP_DAYS + 3  # for so long a turn stays open
GROWTH: Final = 1.15  # of what is used then; a day may be livelier than another
PATIENCE_S: Final = 60.0
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evening:
    """The database at the end of a day, when what is too old was looked for."""

    day: int
    turns: int
    used_mb: float  # pages that hold something
    file_mb: float
    inbox: int  # rows
    dedup: int  # rows
    too_old: int  # finished turns beyond `KEEP_DAYS`
    forgotten_keys: int  # dedup rows of the last `DEDUP_DAYS` that are missing
    open_rows: int  # rows of the journal that belong to the turn that stays open


class Calendar:
    """The days as the daemon sees them: a file that libfaketime reads."""

    def __init__(self, home: Path) -> None:
        self._file = home / "clock"
        self.day = 0
        self._write()

    def now(self) -> datetime:
        """Return the daemon's time."""
        return datetime.now(UTC) + timedelta(days=self.day)

    def next(self) -> None:
        """Let the next day begin."""
        self.day += 1
        self._write()

    def environ(self) -> dict[str, str]:
        """Return what a process needs to live by it."""
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # s; to read the file for each look at the clock is slow
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # its name before 0.9.8
            "FAKETIME_DONT_RESET": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # for an old glibc; threads that wait for each other spin with it
        }

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"+{self.day}d", encoding="ascii")
        fresh.rename(self._file)  # at once: half a file would be another time


class Held(ApiChat):
    """A conversation whose turn asks for a yes, and gets it days after turns of its age are forgotten."""

    _number = 0
    _view: dict[str, Any] | None = None

    async def begin(self, number: int) -> None:
        self._number = number
        self._view = await self._say(said(number, "careful"))
        if "question" not in self._view:
            self.ledger.strange.append(f"the turn that was to stay open is {self._view}")

    async def end(self) -> None:
        """Say yes; the answer counts like any other. Nothing where it was not begun."""
        if self._view is None:
            return
        question = self._view["question"]["id"]
        await self._json("POST", f"/v1/approvals/{question}", {"answer": "approve"})
        view = await self._json("GET", f"/v1/messages/{self._view['id']}?wait=60")
        if [reply["text"] for reply in view["replies"]] != [f"answer to m{self._number}"]:
            self.ledger.strange.append(f"the turn that stayed open ended as {view}")
        else:
            self.ledger.answers[self._number] += 1


async def run(home: Path, *, turns: int, days: int, say: Callable[[str], None]) -> dict[str, str]:
    """Run, and return what is broken, a sentence for each."""
    calendar = Calendar(home)
    sections = {
        "journal": {"keep_days": KEEP_DAYS, "dedup_days": DEDUP_DAYS},
        "tools": {"approval_timeout_s": 7 * 86_400},  # the most that there is
    }
    evenings: list[Evening] = []
    async with stage(
        home,
        conversations=max(turns // days // 5, 40),
        seed=1,
        environ={**calendar.environ(), UPKEEP: "1"},
        sections=sections,
        now=calendar.now,
    ) as here:
        held = Held("held", here.ledger, here.session, here.url)
        accepted: list[set[str]] = []
        for day in range(days):
            if day % HELD_DAYS == 0:
                await held.end()
                await held.begin(here.ledger.number())
            await here.talk(turns // days, 20)
            await _quiet(here)
            evenings.append(await _evening(here, day, accepted))
            say(_line(evenings[-1]))
            if day < days - 1:
                calendar.next()
                await _dawn(here, calendar)
        await held.end()
        await here.daemon.settled()
        return {**here.ledger.broken, **judge(evenings)}


async def _dawn(here: Stage, calendar: Calendar) -> None:
    """Return once the daemon knows of the new day."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with here.session.get(f"{here.url}/healthz") as reply:
                its = parsedate_to_datetime(reply.headers["Date"])
            if abs(calendar.now() - its) < timedelta(hours=1):
                return
            await asyncio.sleep(0.05)


async def _quiet(here: Stage) -> None:
    """Return once nothing goes on but what waits for a person."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            queue = (await here.daemon.control("status"))["queue"]
            if not (queue["queued"] - queue["waiting"] or queue["running"] or queue["deliveries_open"]):
                return
            await asyncio.sleep(0.05)


async def _evening(here: Stage, day: int, accepted: list[set[str]]) -> Evening:
    """Return what is in the database once nothing of it is too old, or that has not come about in time."""
    until = time.monotonic() + PATIENCE_S
    database = here.daemon.home / "state" / "clawd.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        accepted.append(_keys(db) - set().union(*accepted))
        while True:
            evening = _read(db, here, day, accepted)
            if not evening.too_old or time.monotonic() > until:
                break
            await asyncio.sleep(0.1)
        while (last := _read(db, here, day, accepted)) != evening and time.monotonic() < until:
            evening = last  # free pages go back bit by bit
            await asyncio.sleep(0.3)
        return last


def _read(db: sqlite3.Connection, here: Stage, day: int, accepted: list[set[str]]) -> Evening:
    now_ms = int((datetime.now(UTC) + timedelta(days=day)).timestamp() * 1000)
    (pages, size, free) = db.execute(
        "SELECT p.page_count, s.page_size, f.freelist_count"
        " FROM pragma_page_count p, pragma_page_size s, pragma_freelist_count f"
    ).fetchone()
    young = set().union(*accepted[max(0, day - DEDUP_DAYS + 1) :])

    def count(query: str, *values: object) -> int:
        return int(db.execute(query, values).fetchone()[0])

    return Evening(
        day=day,
        turns=here.ended,
        used_mb=(pages - free) * size / MB,
        file_mb=pages * size / MB,
        inbox=count("SELECT count(*) FROM inbox"),
        dedup=count("SELECT count(*) FROM dedup"),
        too_old=count(
            "SELECT count(*) FROM inbox WHERE ended_at < ? AND state NOT IN ('queued', 'running', 'waiting')",
            now_ms - KEEP_DAYS * _DAY_MS - 1000,
        ),
        forgotten_keys=len(young - _keys(db)),
        open_rows=count(
            "SELECT count(*) FROM journal j JOIN inbox i ON i.conv = j.conv AND i.seq = j.seq"
            " WHERE i.state IN ('queued', 'running', 'waiting')"
        ),
    )


def _keys(db: sqlite3.Connection) -> set[str]:
    return {key for (key,) in db.execute("SELECT key FROM dedup")}


def judge(evenings: list[Evening]) -> dict[str, str]:
    """Return what does not hold, a sentence for each."""
    found: dict[str, str] = {}
    if late := [each for each in evenings if each.too_old]:
        found["retention"] = f"{late[0].too_old} turns beyond {KEEP_DAYS} days stayed on day {late[0].day}"
    if lost := [each for each in evenings if each.forgotten_keys]:
        found["dedup"] = (
            f"{lost[0].forgotten_keys} keys of {DEDUP_DAYS} days were forgotten on day {lost[0].day}"
        )
    if len({each.open_rows for each in evenings}) != 1 or not evenings[0].open_rows:
        found["open turn"] = f"its rows by day: {[each.open_rows for each in evenings]}"
    if len(evenings) > LEVEL:
        level, last = evenings[LEVEL - 1], evenings[-1]
        for name, before, after, more in (
            ("used", level.used_mb, last.used_mb, 0.1),
            ("file", level.file_mb, last.file_mb, 0.1),
            ("dedup rows", level.dedup, last.dedup, 20),
            ("inbox rows", level.inbox, last.inbox, 20),
        ):
            if after > before * GROWTH + more:
                found[f"growth: {name}"] = f"{before:.6g} after day {level.day}, {after:.6g} at the end"
    return found


def _line(evening: Evening) -> str:
    return (
        f"day {evening.day}: {evening.turns:,} turns; file {evening.file_mb:.2f} MB, used {evening.used_mb:.2f};"
        f" {evening.inbox:,} messages, {evening.dedup:,} keys kept"
    )


def main() -> int:
    """Run, say how each day went, and return 1 when something was broken."""

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    parser = argparse.ArgumentParser(prog="python -m tests.soak.days", description=__doc__)
    parser.add_argument("--turns", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=20)
    options = parser.parse_args()
    if not LIBRARIES:
        parser.error("faketime is not installed")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    home = Path(tempfile.mkdtemp(prefix="clawd-days-", dir="/tmp"))  # short, for the socket
    broken = asyncio.run(run(home, turns=options.turns, days=options.days, say=say))
    for name, sentence in broken.items():
        say(f"BROKEN {name}: {sentence}")
    if broken:
        say(f"state and log: {home}")
    else:
        say(f"nothing was lost or kept too long; from day {LEVEL - 1} on nothing grew")
        shutil.rmtree(home, ignore_errors=True)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
