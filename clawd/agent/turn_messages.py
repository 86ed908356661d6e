"""The messages that a turn answers: its own, those that became part of it, and the files that they name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.agent.files import TurnFiles
from clawd.agent.mailbox import takes_place_of
from clawd.agent.merging import followers, pieces
from clawd.journal.records import TurnMerged
from clawd.messages import Text
from clawd.models.routing import prefix_remover

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.agent.brain import Brain
    from clawd.agent.mailbox import Box
    from clawd.agent.open_turn import OpenTurn
    from clawd.agent.turn_time import TurnTime
    from clawd.agent.workplace import Workplace
    from clawd.journal.base import Queued
    from clawd.messages import InboundMessage


class TurnMessages:
    """The messages of one attempt at one turn.

    Args:
        workplace: Knows what is queued, and where files are.
        brain: Says whether newer messages steer or interrupt.
        turn: Whose messages they are.
        box: Knows whether any has come; is told to stop where a newer one takes the turn's place.
        time: That fetching files may take.
    """

    def __init__(self, workplace: Workplace, brain: Brain, turn: OpenTurn, box: Box, time: TurnTime) -> None:
        self._recorder = workplace.recorder
        self._busy = brain.agent.busy
        self._turn = turn
        self._box = box
        self._time = time
        self._files = TurnFiles(workplace.shelf)
        self._without_prefix = prefix_remover(brain.routes)
        self._merged = {queued.seq: queued for queued in turn.loaded.merged}
        box.arrived |= turn.lease.waiting > 0

    @property
    def merged(self) -> Mapping[int, InboundMessage]:
        """The further messages that became part of the turn, by their sequence number."""
        return {seq: queued.message for seq, queued in self._merged.items()}

    def shown(self, message: InboundMessage) -> InboundMessage:
        """Return a message as a model is shown it."""
        return self._files.shown(self._without_prefix(message))

    async def behind(self) -> Sequence[Queued]:
        """Return the messages queued right behind the turn."""
        return await self._recorder.behind(self._turn.lease)

    def add(self, behind: Sequence[Queued], seqs: Sequence[int]) -> None:
        """Count those of the messages behind the turn as part of it; that is committed."""
        self._merged |= {queued.seq: queued for queued in behind if queued.seq in seqs}

    async def give_way(self) -> None:
        """Let a newer message of the asker take the turn's place, also one that came while nobody worked.

        Raises:
            Stopped: one does.
        """
        lease = self._turn.lease
        if self._busy != "interrupt" or lease.waiting == 0:
            return
        behind = await self.behind()
        rest = pieces(lease.message, behind)
        if any(q.seq not in rest and takes_place_of(q.message, lease) for q in behind):
            self._box.stop("superseded")
            self._box.check()

    async def take_in(self, step: int) -> None:
        """Merge what belongs to this turn: the rest of a message in pieces, or what steers it."""
        steers = self._busy == "steer"
        in_pieces = not self._turn.state.responses and self._newest().piece_of is not None
        if not self._box.arrived or not (in_pieces or steers):
            return  # without a look into the journal: most messages are whole
        self._box.arrived = False
        behind = await self.behind()
        seqs = followers(self._turn.lease, behind) if steers else pieces(self._newest(), behind)
        if seqs:
            await self._turn.commit(TurnMerged(step=step, seqs=seqs))
            self.add(behind, seqs)
            await self.open_files()

    async def open_files(self) -> None:
        """Fetch the files that the turn's messages name at their platform, and read what a model is shown of them."""
        lease = self._turn.lease
        if (message := await self._fetched(lease.seq, lease.message)) is not lease.message:
            self._turn.see(message)
        for seq, queued in self._merged.items():
            if (message := await self._fetched(seq, queued.message)) is not queued.message:
                self._merged[seq] = replace(queued, message=message)
        history = self._turn.loaded.history
        past = [m for t in history for m in (t.message, *(q.message for q in t.merged))]
        await self._files.load([*past, self._turn.lease.message, *self.merged.values()])

    async def _fetched(self, seq: int, message: InboundMessage) -> InboundMessage:
        """Return the message with its files stored and committed; the same one where it names none to fetch."""
        if all(isinstance(part, Text) for part in message.parts):
            return message
        left_s = self._time.left_s

        async def fetch() -> InboundMessage:
            self._time.restore(left_s)
            return await self._time.limited(self._files.fetched(message))

        fetched = await self._recorder.patiently(self._turn.lease, fetch)
        if fetched.parts == message.parts:
            return message
        await self._recorder.keep_parts(self._turn.lease, seq, fetched.parts)
        return fetched

    def _newest(self) -> InboundMessage:
        """Return the last message that is part of the turn."""
        merged = self._turn.state.merged
        return self._merged[merged[-1]].message if merged else self._turn.lease.message
