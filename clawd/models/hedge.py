"""The race for the first answer: a model that is late gets a standby beside it, and who answers first wins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from clawd.errors import ModelError
from clawd.models.base import Progress

if TYPE_CHECKING:
    from clawd.ids import Clock
    from clawd.models.attempt import Attempt
    from clawd.models.base import ModelEvent


class Line(Protocol):
    """The models that a request may be asked of."""

    def begin(self) -> Attempt | None:
        """Begin an attempt at the next model; None when nobody is left."""
        ...

    def failed(self, attempt: Attempt, error: ModelError) -> None:
        """Take in that an attempt has failed."""
        ...

    @property
    def has_standby(self) -> bool:
        """Whether another model could be asked beside the one that is."""
        ...

    def call_standby(self) -> bool:
        """Have `begin` give one; False where that is not worth its money, or there is none any more."""
        ...


async def first_answer(line: Line, clock: Clock) -> Attempt | None:
    """Return the first attempt that really answers, with the beginning of its answer kept; None when all failed.

    An attempt that fails is followed by the next at once. One that gives no sign of life within the
    `first_token_s` of its model gets the next beside it, and so on: from then on a keep-alive is not enough
    to win. Attempts that were begun and neither failed nor won are for the caller to leave; no request is
    under way in them any more.
    """
    try:
        return await _first(line, clock, rival=False)
    except BaseExceptionGroup as group:  # a bug in a provider keeps its own type
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


async def _first(line: Line, clock: Clock, *, rival: bool) -> Attempt | None:
    while (attempt := line.begin()) is not None:
        if line.has_standby:
            winner = await _with_standby(line, clock, attempt, rival=rival)
        else:
            winner = attempt if await _answers(line, attempt, rival=rival) else None
        if winner is not None:
            return winner
    return None


async def _with_standby(line: Line, clock: Clock, lead: Attempt, *, rival: bool) -> Attempt | None:
    """Return the lead, or who answered before it; None when it and all who were asked beside it failed.

    The lead is read in this very task, so that a request which goes well costs one task: the standby's
    clock. Nothing is open any more when this returns: the winner is read on by somebody else.
    """
    limit = asyncio.timeout(None)
    async with asyncio.TaskGroup() as group:
        standby = group.create_task(_stand_by(line, clock, lead, limit), name=f"standby:{lead.name}")
        try:
            async with limit:
                answers = await _answers(line, lead, rival=rival, standby=standby)
        except TimeoutError:
            if not limit.expired():
                raise  # the provider's own, a bug
            answers = False
        if answers or not lead.late:
            standby.cancel()
    if answers:
        return lead
    return None if standby.cancelled() else standby.result()


async def _stand_by(line: Line, clock: Clock, lead: Attempt, limit: asyncio.Timeout) -> Attempt | None:
    """Wait for the lead's first sign of life; without one ask the others, and stop the lead if one answers."""
    await clock.sleep(lead.member.first_token_s)
    if not line.call_standby():
        return None
    lead.late = True
    winner = await _first(line, clock, rival=True)
    if winner is not None and lead.result is None:  # it has neither failed nor ended
        limit.reschedule(asyncio.get_running_loop().time())
    return winner


async def _answers(
    line: Line, attempt: Attempt, *, rival: bool, standby: asyncio.Task[Attempt | None] | None = None
) -> bool:
    """Return whether it answers, as soon as that is known."""
    try:
        while True:
            event = await attempt.more()
            if standby is not None and not attempt.late:
                standby.cancel()
            if _is_answer(event) or not (rival or attempt.late):
                attempt.keep(event)
                return True
    except ModelError as error:
        line.failed(attempt, error)
        return False


def _is_answer(event: ModelEvent) -> bool:
    return not (isinstance(event, Progress) and event.what == "keepalive")
