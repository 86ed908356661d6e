"""The journal as people read it: turns, conversations, dead letters. Reads only, from the read connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from clawd.errors import JournalCorrupt, NotFound
from clawd.ids import from_ms, to_ms, update_id
from clawd.journal.codec import decode_message, decode_record, decode_settings
from clawd.journal.reading import (
    ConversationView,
    DeadView,
    EntryView,
    Page,
    QueueStats,
    Trace,
    TurnView,
)
from clawd.journal.records import TurnFinished
from clawd.journal.sqlite_context import ACCEPTED, OPEN_TURNS, Context, parse_address
from clawd.journal.sqlite_questions import OPEN_QUESTIONS, read_question
from clawd.journal.sqlite_traces import DELIVERY, UNREADABLE, SqliteTraces, delivery_text, delivery_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.ids import TurnId
    from clawd.journal.base import OpenQuestion, TurnState
    from clawd.journal.story import Story
    from clawd.messages import Address
    from clawd.store.sqlite import Row, Store

SHORT_CHARS: Final = 200
_CURSOR: Final = re.compile(r"[0-9a-f]{1,15}")  # 60 bits: what SQLite can hold

_TURN: Final = (
    "SELECT c.id, i.seq, coalesce(c.moved_to, c.address), i.state, i.attempts, i.v, i.body, i.at, i.ended_at,"
    " c.done_seq, c.stuck, i.merged_into, i.deadline,"
    " (SELECT body FROM journal j WHERE j.conv = i.conv AND j.seq = coalesce(i.merged_into, i.seq)"
    "  AND j.step = 0 AND j.kind = 'turn.finished' AND j.v = 1),"
    " (SELECT sum(json_extract(body, '$.response.usage.input_tokens')) FROM journal j"
    "  WHERE j.conv = i.conv AND j.seq = coalesce(i.merged_into, i.seq) AND j.kind = 'llm.result' AND json_valid(body)),"
    " (SELECT sum(json_extract(body, '$.response.usage.output_tokens')) FROM journal j"
    "  WHERE j.conv = i.conv AND j.seq = coalesce(i.merged_into, i.seq) AND j.kind = 'llm.result' AND json_valid(body)),"
    " (SELECT count(*) FROM journal j WHERE j.conv = i.conv AND j.seq = coalesce(i.merged_into, i.seq)"
    "  AND j.kind IN ('llm.result', 'tool.result'))"
    " FROM inbox i JOIN conv c ON c.id = i.conv"
)


class SqliteViews:
    """Implements `journal.reading.Views`."""

    def __init__(self, store: Store, context: Context) -> None:
        self._store = store
        self._context = context
        self._traces = SqliteTraces(store, context, self)

    # --- turns ------------------------------------------------------------------------------------------

    async def turn(self, turn: TurnId) -> TurnView:
        parsed = self._context.parse_turn(turn)
        rows = await self._store.read(f"{_TURN} WHERE i.conv = ? AND i.seq = ?", parsed) if parsed else []
        if not rows:
            raise NotFound(f"there is no turn {turn}", remedy="clawd turns list")
        return self._turn_view(rows[0])

    async def turns(
        self, *, address: Address | None = None, state: TurnState | None = None, limit: int = 50
    ) -> Sequence[TurnView]:
        where, order, values = _turn_filter(address, state)
        rows = await self._store.read(
            f"{_TURN} WHERE {where} ORDER BY {order} DESC LIMIT ?", (*values, limit)
        )
        return [self._turn_view(row) for row in rows]

    def _turn_view(self, row: Row) -> TurnView:
        (
            conv,
            seq,
            address,
            state,
            attempts,
            version,
            body,
            at,
            ended_at,
            done_seq,
            stuck,
            merged,
            due,
            *rest,
        ) = row
        finished_body, input_tokens, output_tokens, steps = rest
        finished = _finished(finished_body)
        return TurnView(
            id=self._context.turn(conv, seq),
            conversation=parse_address(address),
            seq=seq,
            state=state,
            attempts=attempts,
            question=_question(version, body),
            answer=finished.text if finished is not None else "",
            accepted_at=from_ms(at),
            finished_at=from_ms(ended_at) if ended_at is not None else None,
            model=finished.model if finished is not None else None,
            error=finished.error if finished is not None else stuck,
            exit_code=finished.exit_code if finished is not None else 0,
            position=max(0, seq - done_seq - 1),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            steps=steps,
            merged_into=self._context.turn(conv, merged) if merged is not None else None,
            notice=finished.notice if finished is not None else "",
            waits_for="network" if state == "queued" and due is not None else None,
        )

    async def questions(self, *, address: Address | None = None, limit: int = 100) -> Sequence[OpenQuestion]:
        which = "" if address is None else " AND coalesce(c.moved_to, c.address) = ?"
        values = () if address is None else (str(address),)
        rows = await self._store.read(
            f"{OPEN_QUESTIONS}{which} ORDER BY i.deadline LIMIT ?", (*values, limit)
        )
        found = (read_question(self._context, row) for row in rows)
        return [question for question in found if question is not None]

    # --- conversations ----------------------------------------------------------------------------------

    async def conversations(self, *, limit: int = 50, prefix: str = "") -> Sequence[ConversationView]:
        rows = await self._store.read(
            "SELECT c.address, c.last_seq, c.last_seq - c.done_seq, c.settings, i.at, i.v, i.body,"
            " (SELECT count(*) FROM inbox n WHERE n.conv = c.id)"
            " FROM conv c LEFT JOIN inbox i ON i.conv = c.id AND i.seq = c.last_seq"
            " WHERE c.address >= ? AND c.address < ? AND c.bridge <> '_alerts'"
            " ORDER BY coalesce(i.at, 0) DESC, c.id DESC LIMIT ?",
            (prefix, f"{prefix}\x7f", limit),  # addresses are visible ASCII
        )
        return [
            ConversationView(
                address=parse_address(address),
                turns=turns,
                open_turns=open_turns,
                last_at=from_ms(at) if at is not None else None,
                last_text=_short(_question(version, body)) if body is not None else "",
                settings=decode_settings(settings),
            )
            for address, _, open_turns, settings, at, version, body, turns in rows
        ]

    async def chat_address(self, bridge: str, chat: str) -> Address | None:
        """Return the address of a bridge's newest conversation in the chat of this id; None without one."""
        # Fields are quoted, so the colons are those between them.
        rows = await self._store.read(
            "SELECT coalesce(moved_to, address) FROM conv WHERE bridge = ? ORDER BY id DESC", (bridge,)
        )
        found = (parse_address(text) for (text,) in rows)
        return next((each for each in found if each.chat == chat and each.thread is None), None)

    async def entries(self, address: Address, *, after: str = "", limit: int = 200) -> Page:
        columns = (
            "SELECT j.id, j.conv, j.seq, j.kind, j.ts, j.v, j.body, i.state, i.v, i.body, o.state, o.v, o.body"
            " FROM journal j JOIN conv c ON c.id = j.conv"
            " LEFT JOIN inbox i ON i.conv = j.conv AND i.seq = j.seq"
            " LEFT JOIN outbox o ON j.seq IS NULL AND o.id = j.step"
            " WHERE c.address = ? AND j.kind IN ('accepted', 'turn.finished', 'pushed') AND j.id"
        )
        if after:
            rows = await self._store.read(
                f"{columns} > ? ORDER BY j.id LIMIT ?", (str(address), _position(after), limit)
            )
        else:
            newest = await self._store.read(
                f"{columns} > 0 ORDER BY j.id DESC LIMIT ?", (str(address), limit)
            )
            rows = newest[::-1]
        entries = tuple(self._entry(row) for row in rows)
        return Page(entries=entries, cursor=entries[-1].cursor if entries else after)

    def _entry(self, row: Row) -> EntryView:
        id_, conv, seq, kind, ts, _, body, state, version, question, push_state, push_version, push = row
        answers: tuple[int, ...] = ()
        match kind:
            case "accepted":
                text = _question(version, question)
            case "pushed":
                text, state = delivery_text(push_version, push), push_state or "sent"
            case _:
                finished = _finished(body)
                text = finished.text if finished is not None else UNREADABLE
                answers = finished.answers if finished is not None else ()
        return EntryView(
            cursor=f"{id_:012x}",
            turn=self._context.turn(conv, seq) if seq is not None else None,
            role="user" if kind == ACCEPTED else "assistant",
            text=text,
            at=from_ms(ts),
            state=state,
            answers=tuple(self._context.turn(conv, answered) for answered in answers),
        )

    # --- dead letters -----------------------------------------------------------------------------------

    async def dead(self, *, limit: int = 100) -> Sequence[DeadView]:
        letters = [
            *await self._dead_turns(limit),
            *await self._dead_deliveries(limit),
            *await self._dead_updates(limit),
        ]
        return sorted(letters, key=lambda letter: letter.at, reverse=True)[:limit]

    async def _dead_turns(self, limit: int) -> list[DeadView]:
        dead = await self._store.read(
            f"{_TURN} WHERE i.state = 'dead' AND i.dropped = 0 ORDER BY i.at DESC LIMIT ?", (limit,)
        )
        stuck = await self._store.read(
            f"{_TURN} WHERE c.stuck IS NOT NULL AND i.seq = c.done_seq + 1 LIMIT ?", (limit,)
        )
        return [
            DeadView(
                id=turn.id,
                bridge=turn.conversation.bridge,
                conversation=turn.conversation,
                at=turn.finished_at or turn.accepted_at,
                why=turn.error or "",
                text=_short(turn.question),
                state="dead",
            )
            for turn in map(self._turn_view, [*dead, *stuck])
        ]

    async def _dead_deliveries(self, limit: int) -> list[DeadView]:
        rows = await self._store.read(
            f"{DELIVERY} WHERE o.state IN ('dead', 'unknown') AND o.dropped = 0 AND o.body IS NOT NULL"
            " ORDER BY o.at DESC LIMIT ?",
            (limit,),
        )
        return [
            DeadView(
                id=view.id,
                bridge=view.conversation.bridge,
                conversation=view.conversation,
                at=from_ms(row[12] if row[12] is not None else row[10]),
                why=view.why,
                text=_short(view.text),
                state=view.state,
            )
            for row in rows
            for view in [delivery_view(self._context, row)]
        ]

    async def _dead_updates(self, limit: int) -> list[DeadView]:
        rows = await self._store.read(
            "SELECT id, bridge, raw, why, at FROM unreadable ORDER BY id DESC LIMIT ?", (limit,)
        )
        return [
            DeadView(
                id=update_id(self._context.instance, id_),
                bridge=bridge,
                conversation=None,
                at=from_ms(at),
                why=why,
                text=_short(raw),
                state="dead",
            )
            for id_, bridge, raw, why, at in rows
        ]

    # --- trace ------------------------------------------------------------------------------------------

    async def trace(self, identifier: str) -> Trace:
        return await self._traces.trace(identifier)

    async def story(self, identifier: str) -> Story:
        """Return what the spans of a trace are built from; raises NotFound."""
        return await self._traces.story(identifier)

    # --- figures ----------------------------------------------------------------------------------------

    async def stats(self) -> QueueStats:
        (
            (
                open_turns,
                running,
                waiting,
                offline,
                oldest,
                ready,
                suspect,
                deliveries,
                dead,
                conversations,
                last_id,
            ),
        ) = await self._store.read(
            "SELECT (SELECT value FROM kv WHERE key = ?),"
            " (SELECT count(*) FROM conv WHERE owner IS NOT NULL),"
            " (SELECT count(*) FROM inbox INDEXED BY inbox_waiting WHERE state = 'waiting'),"
            " (SELECT count(*) FROM inbox INDEXED BY inbox_open WHERE state IN ('queued', 'running', 'waiting')"
            "  AND state = 'queued' AND deadline IS NOT NULL),"
            " (SELECT min(at) FROM inbox WHERE state IN ('queued', 'running', 'waiting')),"
            " (SELECT min(ready_at) FROM conv WHERE ready_at IS NOT NULL AND suspect = 0),"
            " (SELECT min(ready_at) FROM conv WHERE ready_at IS NOT NULL AND suspect = 1),"
            " (SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending', 'parked')),"
            " (SELECT count(*) FROM inbox WHERE state = 'dead' AND dropped = 0)"
            " + (SELECT count(*) FROM conv WHERE stuck IS NOT NULL)"
            " + (SELECT count(*) FROM outbox WHERE state IN ('dead', 'unknown') AND dropped = 0"
            "    AND body IS NOT NULL)"
            " + (SELECT count(*) FROM unreadable),"
            " (SELECT count(*) FROM conv),"
            " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0)",
            (OPEN_TURNS,),
        )
        now = to_ms(self._context.clock.now())
        since = min(
            at if at is not None else now for at in (ready, suspect, now)
        )  # one due later is not ready
        return QueueStats(
            queued=open_turns - running,
            running=running,
            oldest_age_s=max(0, now - oldest) / 1000 if oldest is not None else 0.0,
            deliveries_open=deliveries,
            dead=dead,
            conversations=conversations,
            last_id=last_id,
            waiting=waiting,
            ready_age_s=(now - since) / 1000,
            offline=offline,
        )


def _turn_filter(address: Address | None, state: TurnState | None) -> tuple[str, str, tuple[str, ...]]:
    """Return condition, order and values of a list of turns, worded so that an index answers it."""
    if address is not None:
        where = "i.conv = (SELECT id FROM conv WHERE address = ?)"
        return (
            (where, "i.seq", (str(address),))
            if state is None
            else (f"{where} AND i.state = ?", "i.seq", (str(address), state))
        )
    if state in ("queued", "running", "waiting"):
        return "i.state IN ('queued', 'running', 'waiting') AND i.state = ?", "i.at DESC, i.rowid", (state,)
    return ("i.state = ?", "i.rowid", (state,)) if state is not None else ("1", "i.rowid", ())


# --- rows to words: a row that can't be read must not hide the others -----------------------------------


def _question(version: int, body: str) -> str:
    try:
        return decode_message(version, body).text
    except JournalCorrupt:
        return UNREADABLE


def _finished(body: str | None) -> TurnFinished | None:
    if body is None:
        return None
    try:
        record: Any = decode_record(TurnFinished.kind, 1, body)
    except JournalCorrupt:
        return None
    return record if isinstance(record, TurnFinished) else None


def _short(text: str) -> str:
    return text if len(text) <= SHORT_CHARS else f"{text[: SHORT_CHARS - 1]}…"


def _position(cursor: str) -> int:
    if not _CURSOR.fullmatch(cursor):
        raise NotFound(f"there is no cursor {cursor!r:.40}", remedy="begin without one")
    return int(cursor, 16)
