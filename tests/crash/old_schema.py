"""A database of schema 1 with unfinished work in it, and what was seen outside while it was made."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.store.schema import APPLICATION_ID, MIGRATIONS
from tests.crash.events import Acted, Asked, Call, Died, Said, Started, Taken

if TYPE_CHECKING:
    from tests.crash.events import Event

ROWS: Final = Path(__file__).with_name("schema_1.sql")
_TIME: Final = re.compile(r"\b1795\d{9}\b")  # milliseconds of the day on which the rows were written

WORDS: Final = 3  # m1 to m3 were said
TOKENS: Final = 2  # the model had answered twice


def build(database: Path) -> None:
    """Write the file, its times moved to now: what is too old is not delivered any more."""
    database.parent.mkdir(mode=0o700)
    now = str(int(time.time() * 1000))
    with sqlite3.connect(database) as db:
        db.executescript((MIGRATIONS / "0001_initial.sql").read_text(encoding="utf-8"))
        db.executescript(_TIME.sub(now, ROWS.read_text(encoding="utf-8")))
        db.execute("PRAGMA user_version = 1")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.close()


def version(database: Path) -> int:
    """Return the schema that a database has."""
    db = sqlite3.connect(database)
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def seen() -> list[Event]:
    """Return what the fakes saw of the process that left the rows."""
    at = time.monotonic()
    one, two = "webhook order-1", "webhook order-2"
    calls = (Call(id="call-tok0x-0", kind="once"), Call(id="call-tok0x-1", kind="keyed"))
    effect = Acted(
        at=at,
        life=1,
        kind="once",
        key="turn:cizyz2ew-1-1:2",
        place="m1/0/0",
        token="tok0x",
        call="call-tok0x-0",
        receipt="rcp-old",  # its answer never arrived
    )
    return [
        Started(at=at, life=1),
        *(
            Said(at=at, chat=chat, word=word, owed=False)
            for chat, word in ((one, "m1"), (one, "m2"), (two, "m3"))
        ),
        Asked(at=at, life=1, word="m1", step=0, token="tok0x", calls=calls),
        effect,
        *(Taken(at=at, word=word) for word in ("m1", "m2", "m3")),
        Asked(at=at, life=1, word="m3", step=0, token="tok1x"),
        Died(at=at, life=1),
    ]
