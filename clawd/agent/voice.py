"""The visible text of one attempt at a turn, while it is being made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.fanout import Delta, GrowingText, Reset
from clawd.models.base import Switched, TextDelta

if TYPE_CHECKING:
    from clawd.fanout import Fanout
    from clawd.journal.base import Lease
    from clawd.models.base import ModelEvent


class Voice:
    """Publishes what a model says; knows how much of it is committed."""

    def __init__(self, fanout: Fanout, lease: Lease, committed: str) -> None:
        self._fanout = fanout
        self._lease = lease
        self._committed = committed  # of earlier steps
        self._said = GrowingText()
        if committed:
            self._publish(committed)

    @property
    def text(self) -> str:
        """What is visible by now."""
        return str(self._said)

    def _publish(self, text: str) -> None:
        lease, offset = self._lease, len(self._said)
        self._said.add(text)
        self._fanout.publish(
            lease.address, Delta(turn=lease.turn, attempt=lease.attempts, offset=offset, text=text)
        )

    def hear(self, event: ModelEvent) -> None:
        """Show what a model says while it says it."""
        match event:
            case TextDelta(text):
                new_step = self._committed and self._is_committed()
                self._publish(f"\n\n{text}" if new_step else text)
            case Switched(to_model=model, reason=reason):
                self.take_back(f"{model}: {reason}")
            case _:
                pass

    def take_back(self, reason: str) -> None:
        """Void what this step has shown; committed text of earlier steps stays."""
        if self._is_committed():
            return
        lease = self._lease
        self._fanout.publish(lease.address, Reset(turn=lease.turn, attempt=lease.attempts, reason=reason))
        self._said.clear()
        if self._committed:
            self._publish(self._committed)

    def commit(self, visible: str) -> None:
        """The step's text is committed; the next one begins behind it."""
        self._committed = visible
        if self.text != visible:  # the complete answer says it otherwise than its deltas did
            self.take_back("committed")

    def _is_committed(self) -> bool:
        return len(self._said) == len(self._committed) and self.text == self._committed
