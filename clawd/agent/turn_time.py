"""The time that a turn may still work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from clawd.agent.mailbox import Box

T = TypeVar("T")

_LAST_ANSWER_SHARE: Final = 0.1  # of `agent.max_turn_s`, kept free for a last answer …
_LAST_ANSWER_S: Final = 90.0  # … up to so much


class OutOfTime(Exception):
    """The time that `agent.max_turn_s` leaves for this is used up."""


class TurnTime:
    """The time of one attempt at a turn, by the loop's clock.

    What was worked before a crash, or before a question to a person, counts; the waiting does not.

    Args:
        limit_s: What the whole turn may take.
        worked_s: How long its earlier attempts worked.
        box: May have been told to stop.
    """

    def __init__(self, limit_s: float, worked_s: float, box: Box) -> None:
        self._deadline = asyncio.get_running_loop().time() + max(0.0, limit_s - worked_s)
        self._late_at = self._deadline - min(_LAST_ANSWER_S, limit_s * _LAST_ANSWER_SHARE)
        self._box = box

    @property
    def left_s(self) -> float:
        """How much is left; negative once it is over."""
        return self._deadline - asyncio.get_running_loop().time()

    @property
    def late(self) -> bool:
        """Whether only a last answer has time."""
        return asyncio.get_running_loop().time() >= self._late_at

    def restore(self, left_s: float) -> None:
        """Let at least this much be left again: waiting for a full disk costs a turn no time."""
        lost_s = max(0.0, left_s - self.left_s)
        self._deadline += lost_s
        self._late_at += lost_s

    async def limited(self, work: Coroutine[None, None, T], *, spare: bool = False) -> T:
        """Return what `work` returns; cancel it when the time is over, or the turn is stopped.

        Args:
            work: Is cancelled, and waited for.
            spare: Leave time for a last answer.

        Raises:
            OutOfTime: the turn's own limit is over.
            Stopped: the turn was asked to end.
        """
        limit = asyncio.timeout_at(self._late_at if spare else self._deadline)
        try:
            async with limit:
                return await self._box.until_stopped(work)
        except TimeoutError as error:
            if limit.expired():
                raise OutOfTime from error
            raise  # the work's own, a bug
