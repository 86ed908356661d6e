"""All that the journal knows of one turn, row by row: what spans and traces are made from. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.ids import TurnId
    from clawd.journal.reading import DeliveryView, TurnView
    from clawd.journal.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of the journal; `record` is None for `accepted` and for what can't be read."""

    at: datetime
    kind: str
    claim: int  # the turn's claims when it was written
    record: Record | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A row of the outbox with its times: written, last taken to be sent, over."""

    view: DeliveryView
    part: int
    at: datetime
    taken_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A message that became part of the turn, and when it came."""

    seq: int
    turn: TurnId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that the journal knows of a turn, or of a delivery that no turn made (`turn` is None)."""

    turn: TurnView | None
    entries: Sequence[Entry]  # in the order in which they were written
    outgoing: Sequence[Outgoing]
    merged: Sequence[Merged]
    now: datetime
