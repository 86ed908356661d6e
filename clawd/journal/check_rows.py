"""The statements by which a journal is read for its checks, and what their rows mean. No I/O."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from clawd.journal.check import ConversationRow, RecordRow
from clawd.journal.records import KINDS, VERSION
from clawd.journal.sqlite_context import ACCEPTED, PUSHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KNOWN: Final = KINDS.keys() | {ACCEPTED, PUSHED}

CONVERSATIONS: Final = """
SELECT c.id, coalesce(c.moved_to, c.address), c.last_seq, c.done_seq, c.owner, c.ready_at, c.stuck IS NOT NULL, c.send_at,
 (SELECT min(seq) FROM inbox WHERE conv = c.id),
 (SELECT count(*) FROM inbox WHERE conv = c.id
   AND seq > coalesce((SELECT value FROM kv WHERE key = 'forgotten:' || c.id), 0)),
 coalesce((SELECT max(seq) FROM inbox WHERE conv = c.id), 0),
 coalesce((SELECT value FROM kv WHERE key = 'forgotten:' || c.id), 0),
 (SELECT state || ':' || (body IS NOT NULL) FROM outbox INDEXED BY outbox_line
   WHERE conv = c.id AND state IN ('pending', 'sending', 'parked') ORDER BY id LIMIT 1),
 EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_sending WHERE conv = c.id AND state = 'sending')
FROM conv c WHERE c.id > ? ORDER BY c.id LIMIT ?
"""
MESSAGES: Final = """
SELECT i.conv, i.seq, i.state, i.merged_into, i.deadline, i.dropped, coalesce(c.done_seq, 0)
FROM inbox i LEFT JOIN conv c ON c.id = i.conv
WHERE (i.conv, i.seq) > (?, ?) ORDER BY i.conv, i.seq LIMIT ?
"""
RECORDS: Final = """
SELECT conv, seq, id, step, kind, v, CASE
 WHEN kind = 'llm.result' THEN iif(json_valid(body), json_array_length(body, '$.response.tool_calls'), -1)
 WHEN kind = 'turn.finished' THEN iif(json_valid(body), json_extract(body, '$.answers', '$.outcome'), '')
 END
FROM journal WHERE seq IS NOT NULL AND (conv, seq) > (?, ?) AND (conv, seq) <= (?, ?) ORDER BY conv, seq
"""
DELIVERIES: Final = """
SELECT conv, seq, id, state, body IS NOT NULL, owner
FROM outbox WHERE seq IS NOT NULL AND (conv, seq) > (?, ?) AND (conv, seq) <= (?, ?) ORDER BY conv, seq
"""
UNLISTED_PUSHES: Final = """
SELECT o.id FROM outbox o WHERE o.id > ? AND o.id <= ? AND o.seq IS NULL AND NOT EXISTS (
 SELECT 1 FROM journal j WHERE j.conv = o.conv AND j.seq IS NULL AND j.step = o.id AND j.kind = 'pushed')
"""
LOST_PUSHES: Final = """
SELECT j.step FROM journal j WHERE j.id > ? AND j.id <= ? AND j.kind = 'pushed'
 AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.id = j.step AND o.conv = j.conv)
"""
STRANGE_PUSHES: Final = """
SELECT id, state FROM outbox WHERE id > ? AND id <= ? AND seq IS NULL
 AND (state NOT IN ('pending', 'sending', 'sent', 'parked', 'unknown', 'dead') OR body IS NULL)
"""


def conversation_row(row: tuple[Any, ...]) -> ConversationRow:
    """Return a row of CONVERSATIONS."""
    line, _, filled = (row[12] or "").partition(":")
    return ConversationRow(
        name=row[1],
        last_seq=row[2],
        done_seq=row[3],
        owner=row[4],
        ready_at=row[5],
        stuck=bool(row[6]),
        send_at=row[7],
        kept_from=row[8],
        present=row[9],
        newest=row[10],
        forgotten=row[11],
        line=line or None,
        line_filled=filled == "1",
        sending=bool(row[13]),
    )


def record_row(row: tuple[Any, ...]) -> RecordRow:
    """Return a row of RECORDS."""
    _, _, id_, step, kind, version, detail = row
    known = kind in _KNOWN and version == VERSION
    calls, outcome = 0, ""
    answers: tuple[int, ...] | None = ()
    if kind == "llm.result":
        calls = detail or 0
        known = known and calls >= 0
    elif kind == "turn.finished":
        answers, outcome = _end_of(detail)
        known = known and answers is not None
    return RecordRow(
        id=id_, step=step, kind=kind, known=known, calls=max(calls, 0), answers=answers or (), outcome=outcome
    )


def _end_of(detail: str) -> tuple[tuple[int, ...] | None, str]:
    """Return answers and outcome of a turn's end; None for answers that can't be read."""
    try:
        answers, outcome = json.loads(detail)
        return tuple(int(seq) for seq in answers), str(outcome)
    except (ValueError, TypeError):
        return None, ""


def by_turn(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[int, int], list[tuple[Any, ...]]]]:
    """Yield rows whose first columns are conversation and message, gathered by these."""
    for key, group in groupby(rows, key=lambda row: (row[0], row[1])):
        yield key, list(group)
