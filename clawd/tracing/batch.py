"""How far the journal was told, and what is told next."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalError, NotFound
from clawd.ids import parse_row_id
from clawd.tracing.telling import tell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clawd.ids import Clock
    from clawd.journal.ended import EndedRows
    from clawd.journal.story import Outgoing, Story
    from clawd.tracing.spans import SentSpan
    from clawd.tracing.telling import Surroundings

log = logging.getLogger(__name__)

MAX_TURNS: Final = 50
MAX_SPANS: Final = 1000
MAX_TEXT: Final = 500_000  # characters
"""A batch ends with the turn that reaches one of them."""
MAX_OPEN: Final = 1000
"""Deliveries that are waited for; of more the oldest are given up."""
MAX_AGE: Final = timedelta(days=1)
"""What ended longer ago is not told any more: nobody wants to hear of last month, and backends refuse it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far the journal was told."""

    id: int  # of its row
    open: tuple[int, ...] = ()  # rows of the outbox that were not over then, though their turns were told

    def to_text(self) -> str:
        """Return it as it is kept."""
        return json.dumps({"id": self.id, "open": self.open})

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """Return what was kept, None where that is nothing that can be read."""
        try:
            found = json.loads(text)
            return cls(id=int(found["id"]), open=tuple(int(row) for row in found["open"]))
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(slots=True, kw_only=True)
class Batch:
    """Spans that are sent together, in parts where a collector wants them smaller."""

    place: Place  # how far all is told once they are
    parts: list[Sequence[SentSpan]] = field(default_factory=list)  # those that are left to send
    given_up: int = 0  # turns and deliveries that are too old, or too many

    def split(self) -> bool:
        """Halve the first part; False when it is a single span."""
        first = self.parts[0]
        half = len(first) // 2
        if half:
            self.parts[:1] = [first[:half], first[half:]]
        return bool(half)


@dataclass(slots=True)
class _Spans:
    """Those of a batch in the making."""

    all: list[SentSpan] = field(default_factory=list)
    text: int = 0  # characters

    @property
    def full(self) -> bool:
        return len(self.all) >= MAX_SPANS or self.text >= MAX_TEXT

    def add(self, spans: Sequence[SentSpan]) -> None:
        self.all += spans
        self.text += sum(
            len(value) for span in spans for value in span.attributes.values() if isinstance(value, str)
        )


class Batches:
    """Reads them from the journal."""

    def __init__(
        self,
        ended: EndedRows,
        story: Callable[[str], Awaitable[Story]],
        clock: Clock,
        *,
        max_open: int = MAX_OPEN,
    ) -> None:
        self._ended = ended
        self._story = story
        self._clock = clock
        self._max_open = max_open
        self._at = ""  # what is being told; left over where a bug in telling it ended the service
        self._left_out: set[str] = set()  # of the batch that is next

    async def after(self, place: Place, around: Surroundings) -> Batch | None:
        """Return what is to be told next, None when there is nothing; raises JournalError."""
        if self._at:
            log.error("trace_left_out", extra={"about": self._at})
            self._left_out.add(self._at)
        batch = Batch(place=place)
        spans = _Spans()
        still = list(place.open)
        over = await self._ended.over(still) if still else {}
        for row in place.open:
            if spans.full:
                break
            if over.get(row) is False:
                continue
            still.remove(row)
            delivery = self._ended.delivery(row)
            if await self._tell(delivery, around, spans, turn=False) is None:
                batch.given_up += delivery in self._left_out
        batch.place = replace(place, open=tuple(still))
        oldest = self._clock.now() - MAX_AGE
        for ended in await self._ended.after(place.id, MAX_TURNS):
            if spans.full:
                break
            if ended.at < oldest:
                batch.given_up += 1
            elif (story := await self._tell(ended.identifier, around, spans, turn=True)) is not None:
                still += [row for each in story.outgoing for row in _open(each)]
            else:
                batch.given_up += ended.identifier in self._left_out
            batch.place = Place(id=ended.id, open=tuple(still))
        if len(still) > self._max_open:
            batch.given_up += len(still) - self._max_open
            batch.place = replace(batch.place, open=batch.place.open[-self._max_open :])
        batch.parts = [spans.all] if spans.all else []
        return batch if batch.place != place else None

    def sent(self) -> None:
        """All of the last batch is settled: what was left out of it is behind its place."""
        self._left_out.clear()

    async def _tell(
        self, identifier: str, around: Surroundings, spans: _Spans, *, turn: bool
    ) -> Story | None:
        """Add what a turn or a delivery tells; None where it was erased meanwhile, or is left out."""
        if identifier in self._left_out:
            return None
        self._at = identifier
        try:
            story = await self._read(identifier)
        except (JournalError, sqlite3.Error):
            self._at = ""  # no bug: it is put off
            raise
        if story is not None:
            deliveries = None if turn else (identifier,)
            spans.add(await asyncio.to_thread(tell, story, around, turn=turn, deliveries=deliveries))
        self._at = ""
        return story

    async def _read(self, identifier: str) -> Story | None:
        try:
            return await self._story(identifier)
        except NotFound:
            return None


def _open(outgoing: Outgoing) -> Sequence[int]:
    """Return the row of a delivery that is not over, nothing for one that is."""
    if outgoing.view.state in {"sent", "unknown", "dead"} and outgoing.ended_at is not None:
        return ()
    row = parse_row_id(outgoing.view.id)
    return (row[1],) if row is not None else ()
