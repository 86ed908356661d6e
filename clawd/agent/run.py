"""A turn from its claim to its committed end: the attempt at it between the journal's records and its recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.agent import ending as endings
from clawd.agent.attempt import Attempt
from clawd.fanout import Started

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.agent.brain import Brain
    from clawd.agent.mailbox import Mailbox
    from clawd.agent.workplace import Workplace
    from clawd.fanout import Fanout
    from clawd.ids import TurnId
    from clawd.journal.base import Journal, Lease, Snapshot


class TurnRunner:
    """Runs one turn from wherever its records have got to, to its end."""

    def __init__(
        self,
        journal: Journal,
        fanout: Fanout,
        mailbox: Mailbox,
        workplace: Workplace,
        *,
        brain: Callable[[], Brain],
    ) -> None:
        self._journal = journal
        self._fanout = fanout
        self._mailbox = mailbox
        self._workplace = workplace
        self._brain = brain
        self._snapshots: dict[TurnId, Snapshot] = {}  # of turns that just ended

    async def run(self, lease: Lease) -> None:
        """Bring the turn to its end and commit it.

        Raises:
            Fenced: somebody else owns the conversation now.
            JournalError: the journal is broken or the turn's rows can't be read.
        """
        brain, recorder = self._brain(), self._workplace.recorder
        interruptible = brain.agent.busy == "interrupt"
        with self._mailbox.open(lease, interruptible=interruptible) as box:
            self._fanout.publish(lease.address, Started(lease=lease))
            if lease.attempts > brain.agent.max_attempts:
                await recorder.finish(lease, endings.dead(lease.attempts - 1, lease.language), whole=True)
                return
            loaded = await self._journal.load(lease)
            if any(control.kind == "stop" for control in loaded.controls):
                box.stop()
            attempt = Attempt(self._workplace, brain, lease, loaded, box)
            ending = await attempt.reach_end()
            if ending is not None:
                await recorder.finish(lease, ending, turn=attempt.turn, waited_s=loaded.waited_s)
                if (snapshot := attempt.snapshot()) is not None:
                    self._snapshots[lease.turn] = snapshot

    async def break_off(self, lease: Lease, error: Exception) -> None:
        """End a turn that a bug broke, and say so."""
        ending = endings.broken(error, lease.language)
        await self._workplace.recorder.finish(lease, ending, whole=True)

    async def tidy(self, lease: Lease) -> None:
        """Do what can wait until the turn is over and its reply on its way; lost, it is done another time."""
        if (snapshot := self._snapshots.pop(lease.turn, None)) is not None:
            await self._journal.snapshot(lease, snapshot)
