"""`/undo` and `/retry`: turns that are no longer part of the context. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.commands import is_in_place
from clawd.journal.records import TurnsUndone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.agent.turn import Turn
    from clawd.journal.base import PastTurn
    from clawd.journal.records import Record


def kept(history: Sequence[PastTurn], turn: Turn | None = None) -> tuple[PastTurn, ...]:
    """Return the turns that were not undone by a later one, or by `turn` itself.

    One that asked an earlier message again has that message for its own.
    """
    undone = {seq for past in history for seq in _undone_by(past.records)}
    if turn is not None and turn.undone is not None:
        undone |= set(turn.undone.seqs)
    return tuple(_as_asked(history, past) for past in history if past.seq not in undone)


def _as_asked(history: Sequence[PastTurn], past: PastTurn) -> PastTurn:
    if all(again_of(record) is None for record in past.records):
        return past  # nearly every one, without a look at the others
    original = asked_again(history, past.seq)
    if original is None or original is past:
        return past
    return replace(past, message=original.message, merged=(*original.merged, *past.merged))


def last_exchange(history: Sequence[PastTurn]) -> PastTurn | None:
    """Return the newest turn that was no command and is not undone; one that asked again stands for its own."""
    return next((past for past in reversed(kept(history)) if not is_in_place(past.message.text)), None)


def asked_again(history: Sequence[PastTurn], again: int | None) -> PastTurn | None:
    """Return the turn whose message a `/retry` asks again: through further ones, if that was one itself."""
    by_seq = {past.seq: past for past in history}
    past = by_seq.get(again) if again is not None else None
    while past is not None:
        further = next((seq for seq in map(again_of, past.records) if seq is not None), None)
        if further is None:
            return past
        past = by_seq.get(further)
    return None


def again_of(record: Record) -> int | None:
    """Return the message that a record asks again, if it does."""
    return record.again if isinstance(record, TurnsUndone) else None


def _undone_by(records: Sequence[Record]) -> set[int]:
    return {seq for record in records if isinstance(record, TurnsUndone) for seq in record.seqs}
