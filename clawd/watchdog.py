"""The watchdog's food: given only while every part that must be alive has just proved it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.ids import Clock
    from clawd.notify import Notifier

log = logging.getLogger(__name__)

Proof = Callable[[], Awaitable[object]]
"""Returns once its part has done a round of real work; hangs or raises a ClawdError when it can't."""


class Watchdog:
    """Feeds the service manager's watchdog.

    Args:
        notifier: Whom to tell.
        interval_s: Time between two rounds, half of the watchdog's period; None: there is no watchdog.
        clock: For the pause between rounds.
    """

    def __init__(self, notifier: Notifier, interval_s: float | None, clock: Clock) -> None:
        self._notifier = notifier
        self._interval_s = interval_s
        self._clock = clock

    async def run(self, proofs: Mapping[str, Proof]) -> None:
        """Ask all proofs each round, until cancelled; return at once when there is no watchdog.

        A round feeds the watchdog only if every proof came back within half an interval, so that two feeds
        are never further apart than three quarters of the period. That this runs proves the event loop.
        """
        if self._interval_s is None:
            return
        while True:
            if await self._alive(proofs, deadline_s=self._interval_s / 2):
                self._notifier.watchdog()
            await self._clock.sleep(self._interval_s)

    async def _alive(self, proofs: Mapping[str, Proof], *, deadline_s: float) -> bool:
        pending = dict.fromkeys(proofs, "no answer")

        async def prove(name: str, proof: Proof) -> None:
            try:
                await proof()
            except ClawdError as error:
                pending[name] = str(error)
            else:
                del pending[name]

        try:
            async with asyncio.timeout(deadline_s), asyncio.TaskGroup() as group:
                for name, proof in proofs.items():
                    group.create_task(prove(name, proof), name=f"watchdog:{name}")
        except TimeoutError:
            pass  # whoever is still pending is the reason
        if pending:
            log.error("watchdog_not_fed", extra={"parts": pending})
        return not pending
