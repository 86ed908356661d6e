"""The index over what was said, in FTS5: filled behind the commits, asked by `search_history`."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from clawd.errors import JournalCorrupt, JournalUnavailable
from clawd.ids import from_ms, to_ms
from clawd.journal.codec import decode_message, decode_record
from clawd.journal.records import ModelResult, ToolDone
from clawd.journal.search import TOOL_NAME, Findings, Found, Wanted, query, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.journal.sqlite_context import Context
    from clawd.store.sqlite import Row, Store

log = logging.getLogger(__name__)

BATCH: Final = 500  # rows of one commit
CATCH_UP_S: Final = 2.0  # how long a search waits for the index
GATHER_S: Final = 5.0  # after a commit, until its rows are indexed together with what came meanwhile
PACE: Final = 4  # pauses between batches are so many times as long as a batch takes

_DONE: Final = "search_done"  # key in kv: the highest journal id that was looked at
_UNDONE: Final = (
    "SELECT e.value FROM journal u, json_each(u.body, '$.seqs') e"
    " WHERE u.conv = ? AND u.kind = 'session.undone' AND json_valid(u.body)"
)
"""The turns that `/undo` and `/retry` took back: what was to be forgotten is not found again."""
_MATCHING: Final = (
    "WHERE search MATCH ? AND j.conv = ? AND j.seq NOT IN (SELECT value FROM json_each(?))"
    " AND j.ts >= ? AND j.ts < ? AND NOT (j.kind = 'accepted' AND j.seq = ? AND length(i.body) < ?)"
    " ORDER BY search.rank, j.id DESC LIMIT ?"
)
_SHORT: Final = 1000  # characters of a question that the model has in front of it anyway
_COLUMNS: Final = (
    "SELECT j.id, j.conv, j.seq, j.kind, j.v, j.body, j.ts, i.v, i.body FROM {source}"
    " LEFT JOIN inbox i ON j.kind = 'accepted' AND i.conv = j.conv AND i.seq = j.seq"
)


class SearchIndex:
    """Implements `journal.search.History`. `run` it beside the agent; without, searches catch up themselves."""

    def __init__(self, store: Store, context: Context) -> None:
        self._store = store
        self._context = context
        self._news = asyncio.Event()
        self._news.set()  # what an earlier process left
        self._filling = asyncio.Lock()

    def nudge(self) -> None:
        """Something was committed that can be searched."""
        self._news.set()

    async def run(self) -> None:
        """Index what is committed until cancelled, a while behind; nothing happens while nothing comes."""
        clock = self._context.clock
        while True:
            await self._news.wait()
            await clock.sleep(GATHER_S)
            self._news.clear()
            more = True
            while more:
                begun = clock.monotonic()
                try:
                    more = await self.fill()
                except JournalUnavailable:
                    self._news.set()  # disk full or locked: tried again like everything else
                    break
                await clock.sleep(PACE * (clock.monotonic() - begun))

    async def fill(self) -> bool:
        """Index one batch; return whether more is waiting."""
        async with self._filling:
            return await self._store.write(_fill, kinds=("search",))

    async def search(self, wanted: Wanted) -> Findings:
        place = self._context.parse_turn(wanted.turn)
        if place is None or query(wanted.text, every=True) is None:
            return Findings(found=())
        behind = not await self._caught_up()
        rows: list[Row] = []
        for every in (True, False):
            rows = await self._matches(place, wanted, every=every)
            if rows:
                break
        found = [said for row in rows if (said := _found(row)) is not None]
        return Findings(found=found[: wanted.limit], behind=behind)

    async def _caught_up(self) -> bool:
        clock = self._context.clock
        until = clock.monotonic() + CATCH_UP_S
        while await self.fill():
            if clock.monotonic() > until:
                return False
        return True

    async def _matches(self, place: tuple[int, int], wanted: Wanted, *, every: bool) -> list[Row]:
        conv, seq = place
        undone = await self._store.read(_UNDONE, (conv,))
        terms = f"{_marker(conv)} AND ({query(wanted.text, every=every)})"
        source = "search JOIN journal j ON j.id = search.rowid"
        return await self._store.read(
            f"{_COLUMNS.format(source=source)} {_MATCHING}",
            (
                terms,
                conv,
                json.dumps([row[0] for row in undone]),
                to_ms(wanted.after) if wanted.after is not None else 0,
                to_ms(wanted.before) if wanted.before is not None else 2**62,
                seq,
                _SHORT,
                wanted.limit,
            ),
        )


def _marker(conv: int) -> str:
    """Return a word that stands in every text of a conversation, so that others' are not even looked at."""
    return f"zqconv{conv}zq"


def _fill(db: sqlite3.Connection) -> bool:
    """Index the next rows; return whether there may be more. Part of one transaction."""
    stored = db.execute("SELECT value FROM kv WHERE key = ?", (_DONE,)).fetchone()
    done = int(stored[0]) if stored is not None else 0
    rows = db.execute(
        f"{_COLUMNS.format(source='journal j')} WHERE j.id > ? ORDER BY j.id LIMIT ?", (done, BATCH)
    )
    count = 0
    for row in rows:  # one at a time: a batch of long answers would be megabytes
        count, done = count + 1, row[0]
        try:
            said = _found(row)
        except JournalCorrupt:
            continue  # it is reported where its turn is loaded
        if said is not None and said.text.strip():
            db.execute("INSERT OR REPLACE INTO search (rowid, text) VALUES (?, ?)", _entry(row, said))
    if count:
        db.execute("INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", (_DONE, done))
    return count == BATCH


def _entry(row: Sequence[Any], said: Found) -> tuple[int, str]:
    return row[0], f"{_marker(row[1])} {words(said.text)}"


def _found(row: Sequence[Any]) -> Found | None:
    """Return what a journal row says, None for a row that says nothing to be found."""
    id_, _conv, _seq, kind, version, body, ts, message_version, message = row
    at = from_ms(ts)
    if kind == "accepted":
        if message is None:
            return None
        inbound = decode_message(message_version, message)
        who = inbound.sender.name or inbound.sender.id
        return Found(at=at, role="user", who=who, text=inbound.text)
    if kind not in (ModelResult.kind, ToolDone.kind):
        return None
    match decode_record(kind, version, body, row_id=id_):
        case ModelResult(response=response):
            return Found(at=at, role="assistant", who="", text=response.text)
        case ToolDone(name=name, text=text) if name != TOOL_NAME:
            return Found(at=at, role="tool", who=name, text=text)
        case _:
            return None
