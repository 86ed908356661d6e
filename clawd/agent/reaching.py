"""Asking models that may be out of reach: what a turn finds out holds for others, and it waits where it may."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from clawd.agent.choosing import others_than
from clawd.errors import (
    BudgetSpent,
    ContextTooLong,
    ModelError,
    ModelsExhausted,
    ModelUnavailable,
    ModelUnknown,
    TurnTooDear,
)
from clawd.journal.records import TurnOffline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clawd.agent.brain import Brain
    from clawd.agent.mailbox import Box
    from clawd.agent.offline import Whom
    from clawd.agent.open_turn import OpenTurn
    from clawd.agent.wish import Wish
    from clawd.agent.workplace import Workplace
    from clawd.response import ModelAttempt, ModelResponse


class TurnWaits(Exception):
    """The turn waits for a person, or for the network, now; the lease is over."""


class Reaching:
    """Asks for one attempt at one turn.

    Args:
        workplace: Knows what is out of reach, and commits.
        turn: Its lease ends when it begins to wait.
        brain: Says how long it may, and who else could answer.
        box: May have been told to stop.
        wish: Knows what was chosen meanwhile.
    """

    def __init__(self, workplace: Workplace, turn: OpenTurn, brain: Brain, box: Box, wish: Wish) -> None:
        self._workplace = workplace
        self._turn = turn
        self._agent = brain.agent
        self._brain = brain
        self._box = box
        self._wish = wish
        self._whom: Whom | None = None  # who was asked last, or was to be
        self._is_asking = False

    async def ask(self, whom: Whom, ask: Callable[[], Awaitable[ModelResponse]]) -> ModelResponse:
        """Return what a model answers; raises TurnWaits, unasked, while these are known to be out of reach.

        A turn that has waited for as long as it may asks in any case. What is asked on the way to a request that
        was let through, such as for a summary, is part of that.
        """
        if self._is_asking:
            return await ask()
        self._whom, outage = whom, self._workplace.outage
        if self._agent.offline_wait_s and not self._has_waited and not outage.may_ask(whom):
            self._box.check()
            await self._wait(f"{ModelUnavailable.code}: the network is away", ())
            raise TurnWaits
        begun = self._workplace.clock.monotonic()
        self._is_asking = True
        try:
            response = await ask()
        except ModelError as error:
            if error.offline and self._agent.offline_wait_s:
                outage.failed(whom, begun)
            elif _answered(error):
                outage.reached(whom)
            raise
        finally:
            self._is_asking = False
        outage.reached(whom)
        return response

    def may_wait_for(self, error: ModelError) -> bool:
        """Whether the turn may wait until models can be reached again, after this error."""
        return error.offline and bool(self._agent.offline_wait_s) and not self._has_waited

    async def wait(self, error: ModelError) -> None:
        """Commit that the turn waits after this error of `ask`."""
        await self._wait(f"{error.code}: {error}", error.attempts)

    @property
    def _has_waited(self) -> bool:
        """Whether the turn has waited for as long as it may; what else has a deadline is a question."""
        return self._turn.lease.expired and self._turn.state.offline is not None

    async def _wait(self, error: str, attempts: Sequence[ModelAttempt]) -> None:
        before, now = self._turn.state.offline, self._workplace.clock.now()
        since = before.since if before is not None else now
        until = before.until if before is not None else now + timedelta(seconds=self._agent.offline_wait_s)
        seen = await self._wish.seen()
        waiting = TurnOffline(since=since, until=until, error=error, attempts=tuple(attempts), seen=seen)
        others = self._others() if before is None else ()
        await self._workplace.recorder.wait_for_network(
            self._turn.lease, waiting, first=before is None, others=others
        )
        if self._whom is not None:
            self._workplace.outage.waits(self._whom, self._turn.lease.conv)

    def _others(self) -> Sequence[str]:
        """Return the models that `/model` could let answer in place of those that were asked."""
        return others_than(self._whom, self._brain.routes, self._brain.models) if self._whom else ()


def _answered(error: ModelError) -> bool:
    """Whether some model was reached, and said what came of it; others are not asked at all."""
    causes = error.causes if isinstance(error, ModelsExhausted) else (error,)
    return any(
        not each.offline
        and not isinstance(each, BudgetSpent | ContextTooLong | ModelUnknown | TurnTooDear)
        and not (isinstance(each, ModelUnavailable) and each.local)
        for each in causes
    )
