"""A turn in work: its lease, what is known of it by now, and how it is written on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.agent.turn import apply, fold
from clawd.journal.records import PatternAllowed, ToolDone

if TYPE_CHECKING:
    from clawd.agent.brain import Brain
    from clawd.agent.recorder import Recorder
    from clawd.agent.turn import Turn
    from clawd.journal.base import Lease, Loaded
    from clawd.journal.records import Record
    from clawd.messages import InboundMessage


class OpenTurn:
    """Keeps what is known of a turn in step with what is committed under its lease.

    Args:
        recorder: Commits.
        brain: Has the tools that are counted.
        lease: Of the turn.
        loaded: What the journal has of it.
    """

    def __init__(self, recorder: Recorder, brain: Brain, lease: Lease, loaded: Loaded) -> None:
        self._recorder = recorder
        self._brain = brain
        self.lease = lease
        self.loaded = loaded
        self.state: Turn = fold(loaded.records)
        """What is known of the turn by now."""
        self.allowed = set(lease.settings.allowed)
        """The patterns of calls that pass without a question."""

    async def commit(self, *records: Record) -> None:
        """Commit records, and know of them then; raises as `Journal.record`."""
        await self._recorder.commit(self.lease, *records)
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Know of a record that is committed, or will be in one commit with the turn's end."""
        self.state = apply(self.state, record)
        if isinstance(record, PatternAllowed):
            self.allowed.add(record.pattern)
        elif isinstance(record, ToolDone):
            self._recorder.count_call(self._brain, record)

    def note(self, record: Record) -> None:
        """Queue a record without waiting for its commit."""
        self._recorder.note(self.lease, record)

    def see(self, message: InboundMessage) -> None:
        """Use this form of the turn's own message from now on."""
        self.lease = replace(self.lease, message=message)
