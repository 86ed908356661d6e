"""The path of one message, read from all the tables that it left rows in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.errors import JournalCorrupt, NotFound
from clawd.ids import from_ms, parse_row_id
from clawd.journal.codec import decode_delivery
from clawd.journal.reading import DeliveryView, Trace
from clawd.journal.span_builder import spans
from clawd.journal.sqlite_context import parse_address
from clawd.journal.sqlite_merging import MAX_MERGED
from clawd.journal.story import Merged, Outgoing, Story
from clawd.journal.trace import control_lines, delivery_lines, entry_of, record_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.ids import TurnId
    from clawd.journal.reading import TraceLine, Views
    from clawd.journal.sqlite_context import Context
    from clawd.store.sqlite import Row, Store

UNREADABLE: Final = "(can't be read)"
DELIVERY: Final = (
    "SELECT o.id, coalesce(c.moved_to, c.address), o.conv, o.seq, o.state, o.attempt, o.remote_id, o.v, o.body,"
    " o.why, o.at, o.taken_at, o.ended_at, c.bridge, o.part FROM outbox o JOIN conv c ON c.id = o.conv"
)
"""Rows for `delivery_view`; behind its columns: at, taken_at, ended_at, bridge, part."""


class SqliteTraces:
    """Reads traces; turns themselves are read by the views."""

    def __init__(self, store: Store, context: Context, views: Views) -> None:
        self._store = store
        self._context = context
        self._views = views

    async def trace(self, identifier: str) -> Trace:
        """Return the path of a turn, or of the delivery that has this id; raises NotFound."""
        found = await self._turn_of(identifier)
        if isinstance(found, int):
            return _trace(await self._pushed(found))
        parsed = self._context.parse_turn(found)
        assert parsed is not None  # noqa: S101 - made by this very context
        records = await self._records(*parsed)
        controls = await self._store.read(
            "SELECT at, kind, applied_at FROM control WHERE conv = ? AND target_seq = ?", parsed
        )
        return _trace(
            await self._story(found, parsed, records),
            *(line for row in records for line in record_lines(*row)),
            *(line for row in controls for line in control_lines(*row)),
        )

    async def story(self, identifier: str) -> Story:
        """Return all that spans are built from, of a turn or of the delivery that has this id; raises NotFound."""
        found = await self._turn_of(identifier)
        if isinstance(found, int):
            return await self._pushed(found)
        parsed = self._context.parse_turn(found)
        assert parsed is not None  # noqa: S101 - made by this very context
        return await self._story(found, parsed, await self._records(*parsed))

    async def _records(self, conv: int, seq: int) -> list[Row]:
        return await self._store.read(
            "SELECT ts, kind, v, body, attempt FROM journal WHERE conv = ? AND seq = ? ORDER BY id",
            (conv, seq),
        )

    async def _story(self, turn: TurnId, parsed: tuple[int, int], records: Sequence[Row]) -> Story:
        return Story(
            turn=await self._views.turn(turn),
            entries=[entry_of(*row) for row in records],
            outgoing=await self._outgoing("o.conv = ? AND o.seq = ? ORDER BY o.part", parsed),
            merged=await self._merged(*parsed),
            now=self._context.clock.now(),
        )

    async def _pushed(self, row: int) -> Story:
        outgoing = await self._outgoing("o.id = ?", (row,))
        return Story(turn=None, entries=(), outgoing=outgoing, merged=(), now=self._context.clock.now())

    async def _turn_of(self, identifier: str) -> TurnId | int:
        """Return the turn that is meant; for a delivery that no turn made its row."""
        parsed = self._context.parse_turn(identifier)
        if parsed is not None:
            return self._context.turn(*parsed)
        row = parse_row_id(identifier)
        if row is not None and identifier == self._context.delivery(row[1]):
            rows = await self._store.read("SELECT conv, seq FROM outbox WHERE id = ?", (row[1],))
            if rows:
                return row[1] if rows[0][1] is None else self._context.turn(*rows[0])
        raise NotFound(f"there is no turn or delivery {identifier}", remedy="clawd turns list")

    async def _merged(self, conv: int, seq: int) -> list[Merged]:
        rows = await self._store.read(
            "SELECT seq, at FROM inbox WHERE conv = ? AND seq > ? AND seq <= ? AND merged_into = ? ORDER BY seq",
            (conv, seq, seq + MAX_MERGED, seq),
        )
        return [Merged(seq=row[0], turn=self._context.turn(conv, row[0]), at=from_ms(row[1])) for row in rows]

    async def _outgoing(self, which: str, parameters: Sequence[int]) -> tuple[Outgoing, ...]:
        rows = await self._store.read(f"{DELIVERY} WHERE {which}", parameters)
        return tuple(
            Outgoing(
                view=delivery_view(self._context, row),
                part=row[14],
                at=from_ms(row[10]),
                taken_at=from_ms(row[11]) if row[11] is not None else None,
                ended_at=from_ms(row[12]) if row[12] is not None else None,
            )
            for row in rows
        )


def _trace(story: Story, *lines: TraceLine) -> Trace:
    moments = [*lines, *(line for outgoing in story.outgoing for line in delivery_lines(outgoing))]
    return Trace(
        turn=story.turn,
        lines=tuple(sorted(moments, key=lambda line: line.at)),
        deliveries=tuple(outgoing.view for outgoing in story.outgoing),
        spans=tuple(spans(story)),
    )


def delivery_view(context: Context, row: Row) -> DeliveryView:
    """Return an outbox row, read by `DELIVERY`, as people see it."""
    id_, address, conv, seq, state, attempt, remote_id, version, body, why = row[:10]
    return DeliveryView(
        id=context.delivery(id_),
        conversation=parse_address(address),
        turn=context.turn(conv, seq) if seq is not None else None,
        state=state,
        attempt=attempt,
        remote_id=remote_id,
        text=delivery_text(version, body),
        why=why,
    )


def delivery_text(version: int | None, body: str | None) -> str:
    """Return the text of an outbox row's body; one that can't be read must not hide the others."""
    if version is None or body is None:
        return ""
    try:
        return decode_delivery(version, body).text
    except JournalCorrupt:
        return UNREADABLE
