"""How far the journal was told, and what is told next."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.errors import NotFound
from clawd.ids import parse_row_id
from clawd.tracing.telling import tell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clawd.ids import Clock
    from clawd.journal.ended import EndedRows
    from clawd.journal.story import Outgoing, Story
    from clawd.tracing.spans import SentSpan
    from clawd.tracing.telling import Surroundings

MAX_TURNS: Final = 50
MAX_SPANS: Final = 1000
"""A batch ends with the turn that reaches either."""
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

    async def after(self, place: Place, around: Surroundings) -> Batch | None:
        """Return what is to be told next, None when there is nothing; raises JournalError."""
        batch = Batch(place=place)
        spans: list[SentSpan] = []
        still = list(place.open)
        over = await self._ended.over(still) if still else {}
        for row in place.open:
            if len(spans) >= MAX_SPANS:
                break
            if over.get(row) is False:
                continue
            still.remove(row)
            delivery = self._ended.delivery(row)
            story = await self._read(delivery)
            if story is not None:  # else it was erased meanwhile
                spans += await asyncio.to_thread(tell, story, around, turn=False, deliveries=(delivery,))
        batch.place = replace(place, open=tuple(still))
        oldest = self._clock.now() - MAX_AGE
        for ended in await self._ended.after(place.id, MAX_TURNS):
            if len(spans) >= MAX_SPANS:
                break
            if ended.at < oldest:
                batch.given_up += 1
            else:
                story = await self._read(ended.identifier)
                if story is not None:
                    spans += await asyncio.to_thread(tell, story, around, turn=True)
                    still += [row for each in story.outgoing for row in _open(each)]
            batch.place = Place(id=ended.id, open=tuple(still))
        if len(still) > self._max_open:
            batch.given_up += len(still) - self._max_open
            batch.place = replace(batch.place, open=batch.place.open[-self._max_open :])
        batch.parts = [spans] if spans else []
        return batch if batch.place != place else None

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
