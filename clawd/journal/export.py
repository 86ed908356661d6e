"""A whole conversation as typed rows, page by page: whatever is stored, also what this version can't read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from clawd.errors import JournalCorrupt, NotFound
from clawd.ids import from_ms
from clawd.journal.codec import decode_delivery, decode_message, decode_record, decode_settings
from clawd.journal.keeping import (
    Exported,
    ExportedConversation,
    ExportedDelivery,
    ExportedPush,
    ExportedRecord,
    ExportedTurn,
    UnreadableRow,
)
from clawd.journal.sqlite_context import ACCEPTED, Context, parse_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from clawd.messages import Address, InboundMessage, Media
    from clawd.store.sqlite import Row, Store

T = TypeVar("T")

PAGE: Final = 50  # turns read at once

_DELIVERY: Final = (
    "SELECT id, seq, part, state, attempt, v, body, remote_id, why, at, taken_at, ended_at FROM outbox"
)


async def export(store: Store, context: Context, address: Address) -> AsyncIterator[Exported]:
    """Yield the head, then turns in order with the pushes between them; raises NotFound."""
    rows = await store.read(
        "SELECT c.id, c.moved_to, c.settings, (SELECT count(*) FROM inbox WHERE conv = c.id) FROM conv c"
        " WHERE c.address = ?",
        (str(address),),
    )
    if not rows:
        raise NotFound(f"there is no conversation {address}", remedy="clawd conversations list")
    conv, moved_to, settings, turns = rows[0]
    yield ExportedConversation(
        address=address,
        moved_to=parse_address(moved_to) if moved_to is not None else None,
        turns=turns,
        settings=_readable("settings", settings, lambda: decode_settings(settings)),
        exported_at=context.clock.now(),
    )
    seq, push, since = 0, 0, 0
    while True:
        page = await store.read(
            'SELECT seq, state, "right", at, ended_at, merged_into, v, body FROM inbox'
            " WHERE conv = ? AND seq > ? ORDER BY seq LIMIT ?",
            (conv, seq, PAGE),
        )
        until = page[-1][3] if len(page) == PAGE else None
        pushes = await _pushes(store, context, conv, push, until)
        of_turns = await _turns(store, context, conv, page)
        # Pushes stand where they were made; both lists are in the order of time.
        for moment, item in sorted([*pushes, *of_turns], key=lambda pair: max(pair[0], since)):
            since = max(since, moment)
            yield item
        if len(page) < PAGE:
            return
        seq = page[-1][0]
        push = max([push, *(row_id for row_id in _ids(pushes))])


async def _turns(
    store: Store, context: Context, conv: int, page: Sequence[Row]
) -> list[tuple[int, Exported]]:
    if not page:
        return []
    span = (conv, page[0][0], page[-1][0])
    records: dict[int, list[ExportedRecord]] = {}
    for row in await store.read(
        "SELECT seq, ts, kind, v, body, step, attempt, id FROM journal"
        " WHERE conv = ? AND seq BETWEEN ? AND ? ORDER BY id",
        span,
    ):
        if row[2] != ACCEPTED:
            records.setdefault(row[0], []).append(_record(row))
    deliveries: dict[int, list[ExportedDelivery]] = {}
    for row in await store.read(
        f"{_DELIVERY} WHERE conv = ? AND seq BETWEEN ? AND ? ORDER BY seq, part", span
    ):
        deliveries.setdefault(row[1], []).append(_delivery(context, row))
    return [
        (
            row[3],
            ExportedTurn(
                id=context.turn(conv, row[0]),
                seq=row[0],
                state=row[1],
                right=row[2],
                accepted_at=from_ms(row[3]),
                ended_at=_moment(row[4]),
                merged_into=row[5],
                message=_message(row[6], row[7]),
                records=tuple(records.get(row[0], ())),
                deliveries=tuple(deliveries.get(row[0], ())),
            ),
        )
        for row in page
    ]


async def _pushes(
    store: Store, context: Context, conv: int, after: int, until_ms: int | None
) -> list[tuple[int, Exported]]:
    """Return the pushes behind an outbox row, made up to a moment."""
    found: list[tuple[int, Exported]] = []
    while True:
        page = await store.read(
            f"{_DELIVERY} WHERE conv = ? AND id > ? AND seq IS NULL AND at <= ? ORDER BY id LIMIT ?",
            (conv, after, until_ms if until_ms is not None else 2**62, PAGE),
        )
        found += [(row[9], ExportedPush(row=row[0], delivery=_delivery(context, row))) for row in page]
        if len(page) < PAGE:
            return found
        after = page[-1][0]


def _ids(pushes: Sequence[tuple[int, Exported]]) -> list[int]:
    return [item.row for _, item in pushes if isinstance(item, ExportedPush)]


def _record(row: Row) -> ExportedRecord:
    _, ts, kind, version, body, step, attempt, id_ = row
    return ExportedRecord(
        kind=kind,
        at=from_ms(ts),
        step=step,
        claim=attempt,
        record=_readable(kind, body, lambda: decode_record(kind, version, body, row_id=id_)),
    )


def _message(version: int, body: str) -> InboundMessage | UnreadableRow:
    return _readable("message", body, lambda: decode_message(version, body))


def _delivery(context: Context, row: Row) -> ExportedDelivery:
    id_, _, part, state, attempt, version, body, remote_id, why, at, taken_at, ended_at = row
    text: str | None = None
    files: tuple[Media, ...] = ()
    if body is not None:
        read = _readable("delivery", body, lambda: decode_delivery(version, body))
        text = read.raw if isinstance(read, UnreadableRow) else read.text
        files = () if isinstance(read, UnreadableRow) else read.files or ()
    return ExportedDelivery(
        id=context.delivery(id_),
        part=part,
        state=state,
        attempts=attempt,
        text=text,
        remote_id=remote_id,
        why=why,
        at=from_ms(at),
        taken_at=_moment(taken_at),
        ended_at=_moment(ended_at),
        files=files,
    )


def _readable(kind: str, raw: str, read: Callable[[], T]) -> T | UnreadableRow:
    try:
        return read()
    except JournalCorrupt as error:
        return UnreadableRow(kind=kind, why=str(error), raw=raw)


def _moment(ms: int | None) -> datetime | None:
    return from_ms(ms) if ms is not None else None
