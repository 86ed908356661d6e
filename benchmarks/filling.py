"""A journal that looks as if it had been in use for years, written by plain SQL in few transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock, to_ms
from clawd.journal.base import ConversationSettings
from clawd.journal.codec import (
    DELIVERY_VERSION,
    MESSAGE_VERSION,
    DeliveryBody,
    encode_delivery,
    encode_message,
    encode_record,
    encode_settings,
)
from clawd.journal.opening import open_journal
from clawd.journal.records import (
    VERSION,
    ModelIntent,
    ModelResult,
    Record,
    ToolDone,
    TurnFinished,
    TurnStarted,
    step_of,
)
from clawd.messages import Address, InboundMessage, MessageId, Sender, Text
from clawd.response import ModelResponse, ToolCall

CONVERSATIONS = 1000
BETWEEN_TURNS_MS = 40 * 60_000  # all of it within the days for which ids are kept
QUESTION = "What did we say about the northern pump, and who was to look at it? " * 2
ANSWER = "The northern pump was to be looked at on Tuesday, after the seal had come. " * 6

_JOURNAL = "INSERT INTO journal (conv, seq, step, attempt, kind, v, epoch, ts, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """The bridge whose past it is."""

    bridge: str
    account: str
    first_chat: int
    rows: int  # of the table `journal`


async def fill(state_dir: Path, filling: Filling) -> None:
    """Make a database as clawd does, and give it finished turns until its journal has so many rows."""
    opened = await open_journal(state_dir, JournalConfig(), SystemClock())
    await opened.close()
    # Not synced: nothing reads it before it is complete.
    with closing(sqlite3.connect(state_dir / "clawd.db", isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -400000")
        db.execute("BEGIN")
        turns = _Turns(filling)
        db.executemany(
            "INSERT INTO conv (id, address, bridge, settings) VALUES (?, ?, ?, ?)", turns.conversations()
        )
        db.executemany(_JOURNAL, turns.journal())
        db.executemany(
            'INSERT INTO inbox (conv, seq, state, claims, "right", at, ended_at, v, body)'
            " VALUES (?, ?, 'answered', 1, 'chat', ?, ?, ?, ?)",
            turns.inbox(),
        )
        db.executemany(
            "INSERT INTO dedup (key, conv, seq, at) VALUES (?, ?, ?, ?)",
            turns.dedup(),
        )
        db.executemany(
            "INSERT INTO outbox (conv, seq, state, attempt, remote_id, next_at, at, taken_at, ended_at, v, body)"
            " VALUES (?, ?, 'sent', 1, ?, ?, ?, ?, ?, ?, ?)",
            turns.outbox(),
        )
        db.execute("UPDATE conv SET last_seq = (SELECT max(seq) FROM inbox WHERE conv = conv.id), epoch = 1")
        db.execute("UPDATE conv SET done_seq = last_seq")
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Turns:
    """The conversations take turns, so that the rows of each lie apart as in real use."""

    def __init__(self, filling: Filling) -> None:
        self._filling = filling
        self._records = (_records(tool=False), _records(tool=True))
        self._count = self._turns_for(filling.rows)
        self._first_ms = to_ms(datetime.now(UTC)) - self._count * BETWEEN_TURNS_MS // CONVERSATIONS

    def _turns_for(self, rows: int) -> int:
        turns = 0
        while rows > 0:
            rows -= 1 + len(self._of(turns))
            turns += 1
        return turns

    def _of(self, turn: int) -> list[tuple[int, str, str]]:
        return self._records[turn // CONVERSATIONS % 5 == 0]  # every fifth turn of each has a tool call

    def _each(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield (turn, conv, seq, ms)."""
        for turn in range(self._count):
            ms = self._first_ms + turn * BETWEEN_TURNS_MS // CONVERSATIONS
            yield turn, 1 + turn % CONVERSATIONS, 1 + turn // CONVERSATIONS, ms

    def conversations(self) -> Iterator[tuple[int, str, str, str]]:
        f, settings = self._filling, encode_settings(ConversationSettings())
        for n in range(CONVERSATIONS):
            address = Address(bridge=f.bridge, account=f.account, chat=str(f.first_chat + n))
            yield n + 1, str(address), f.bridge, settings

    def journal(self) -> Iterator[tuple[int, int, int, int, str, int, int, int, str]]:
        for turn, conv, seq, ms in self._each():
            yield conv, seq, 0, 0, "accepted", 1, 0, ms, ""
            for step, kind, body in self._of(turn):
                yield conv, seq, step, 1, kind, VERSION, seq, ms + 1000, body

    def inbox(self) -> Iterator[tuple[int, int, int, int, int, str]]:
        f, sender = self._filling, Sender(id="1", name="Somebody")
        message = InboundMessage(
            id=MessageId("telegram:1:1"),
            address=Address(bridge=f.bridge, account=f.account, chat="1"),
            sender=sender,
            parts=(Text(QUESTION),),
            sent_at=datetime.now(UTC),
        )
        body = encode_message(message)
        for _, conv, seq, ms in self._each():
            yield conv, seq, ms, ms + 2000, MESSAGE_VERSION, body

    def dedup(self) -> Iterator[tuple[str, int, int, int]]:
        for turn, conv, seq, ms in self._each():
            yield f"{self._filling.bridge}:{self._filling.account}:{turn}", conv, seq, ms

    def outbox(self) -> Iterator[tuple[int, int, str, int, int, int, int, int, str]]:
        body = encode_delivery(DeliveryBody(text=ANSWER, kind="reply"))
        for turn, conv, seq, ms in self._each():
            yield conv, seq, str(turn), ms + 2000, ms + 2000, ms + 2000, ms + 2100, DELIVERY_VERSION, body


def _records(*, tool: bool) -> list[tuple[int, str, str]]:
    """Return (step, kind, body) of the records of one turn."""
    records: list[Record] = [TurnStarted(owner="1-00000000", attempt=1), ModelIntent(step=1, route="default")]
    step = 1
    if tool:
        call = ToolCall(id="call_1", name="calculator", arguments='{"expression":"6*7"}')
        asked = ModelResponse(model="main", text="", tool_calls=(call,))
        records += [
            ModelResult(step=1, response=asked),
            ToolDone(step=2, call_id="call_1", name="calculator", text="42"),
            ModelIntent(step=3, route="default"),
        ]
        step = 3
    records += [
        ModelResult(step=step, response=ModelResponse(model="main", text=ANSWER)),
        TurnFinished(outcome="answered", text=ANSWER, answers=(1,), model="main"),
    ]
    return [(step_of(record), record.kind, encode_record(record)) for record in records]
