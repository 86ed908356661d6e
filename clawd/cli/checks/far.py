"""Runs the checks that ask other hosts, all at once and beside the others, until their time is over."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.board import Board

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from concurrent.futures import Future

    from clawd.cli.checks.site import Finding, Site

    Ask = Callable[[Site, Board], Coroutine[None, None, None]]

GRACE_S: Final = 0.1
"""How much longer than they are given the checks may take to tell that nothing came."""


_THREADS: Final = 64  # that wait at the same time; each is made when it is needed


class FarChecks:
    """One round of them, begun at once.

    Each bounds what it asks by the site's time. One that hangs all the same (a resolver in a thread that nothing can
    end, a library that takes its time to be imported) is left behind: whoever ends the process must not wait for it.
    """

    def __init__(
        self, site: Site, asks: Sequence[Ask], expects: Sequence[Callable[[Site, Board], None]] = ()
    ) -> None:
        self._site = site
        self._asks = asks
        self._board = Board()
        for expect in expects:
            expect(site, self._board)
        self._round: Future[None] | None = None
        if asks:
            executor = ThreadPoolExecutor(1, "doctor-far")
            self._round = executor.submit(lambda: asyncio.run(self._ask_all()))
            executor.shutdown(wait=False)

    def findings(self) -> list[Finding]:
        """Return what was found once all is, or the time is over; raises what a check raised."""
        if self._round is not None:
            try:
                self._round.result(self._site.left_s() + GRACE_S)
            except TimeoutError:
                if self._round.done():
                    raise
        return self._board.findings(self._site.limit_s)

    async def _ask_all(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "doctor-far-asked"))
        async with asyncio.TaskGroup() as tasks:
            for ask in self._asks:
                tasks.create_task(ask(self._site, self._board), name=ask.__name__)
