"""Which model the people of a conversation want for a turn, also when they say so while it waits for the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.agent.settings import chosen_behind

if TYPE_CHECKING:
    from clawd.agent.brain import Brain
    from clawd.agent.turn_messages import TurnMessages
    from clawd.journal.base import ConversationSettings, Lease


class Wish:
    """The conversation's settings for one attempt at one turn.

    A `/model` keeps its place behind the turn. Where that has waited for the network, or would have to, it counts for
    the turn all the same: it may be what helps, and its place comes only afterwards. It is carried out there as well.

    Args:
        messages: Reads what is queued behind.
        lease: The turn's.
        brain: Knows which models there are.
    """

    def __init__(self, messages: TurnMessages, lease: Lease, brain: Brain) -> None:
        self._messages = messages
        self._lease = lease
        self._brain = brain
        self._has_looked = False
        self._seen = lease.seq + len(lease.merged) + lease.waiting
        self.settings = lease.settings
        """Those that apply to the turn."""

    async def look(self) -> None:
        """Let what was chosen behind the turn count for it; once."""
        if self._has_looked:
            return
        self._has_looked = True
        if self._lease.waiting:
            self.settings = await self._chosen()

    async def seen(self) -> int:
        """Return the last message that need not be looked at before the turn waits; one behind it wakes the turn."""
        if not self._has_looked and await self._chosen() != self.settings:
            return self._lease.seq  # it is there already
        return self._seen

    async def _chosen(self) -> ConversationSettings:
        messages = [queued.message for queued in await self._messages.behind()]
        return chosen_behind(messages, self._lease.settings, self._brain.models, self._brain.routes)
