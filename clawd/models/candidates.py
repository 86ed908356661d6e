"""The models that one request may be asked of: in which order, how often, and what became of them."""

from __future__ import annotations

import random
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.errors import ContextTooLong, ModelRateLimited, ModelsExhausted, ModelUnavailable
from clawd.models.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from clawd.errors import ModelError
    from clawd.models.attempt import Books
    from clawd.models.base import ModelAttempt, ModelRequest
    from clawd.models.estimate import Estimate
    from clawd.models.member import Member
    from clawd.response import PassedOver

RETRY_DELAYS_S: Final = (0.3, 1.0, 2.5)  # before each further round; nothing is switched to for so long
_LONGEST_WAIT_S: Final = 60.0  # a provider that wants more patience than this is not waited for


def spread() -> float:
    """Return a factor for each wait, so that many turns do not return at the same moment."""
    return random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who is asked for a request; at least one model."""

    route: str
    members: tuple[Member, ...]  # in this order, those that fail again and again
    resort: tuple[Member, ...] = ()  # out of service: asked once, when all others have failed
    pin: str | None = None  # the model that was asked for, in front of the route's own
    strict: bool = False  # only the first of all may answer
    hedge: bool = False
    passed: tuple[ModelError, ...] = ()  # why others are not asked at all
    passed_over: tuple[PassedOver, ...] = ()  # wanted before `members`, the first of them most


class Candidates:
    """A `clawd.models.hedge.Line` over a plan, for one request.

    When all have failed, those whose error is transient are asked again after a short wait, longer where a
    provider says so; at last those that are out of service. A request that was too long for one model goes
    on with those whose window is larger, or not known.
    """

    def __init__(
        self,
        plan: Plan,
        request: ModelRequest,
        estimate: Estimate,
        books: Books,
        jitter: Callable[[], float] = spread,
    ) -> None:
        self._plan = plan
        self._request = request
        self._estimate = estimate
        self._books = books
        self._jitter = jitter
        self._queue = deque(plan.members)
        self._resort = deque(plan.resort)
        self._too_small = 0  # tokens: windows up to here can't hold the request
        self._rounds = 0  # that were begun after the first
        self._begun: list[Attempt] = []
        self._errors: dict[str, tuple[Member, ModelError]] = {}  # the last of each model

    @property
    def results(self) -> tuple[ModelAttempt, ...]:
        """The attempts that are over, in the order in which they were begun."""
        return tuple(attempt.result for attempt in self._begun if attempt.result is not None)

    # --- the line ---------------------------------------------------------------------------------------

    def begin(self) -> Attempt | None:
        while self._queue:
            member = self._queue.popleft()
            if self._went_out(member):
                self._resort.append(member)
                continue
            attempt = Attempt(member, self._request, self._estimate, self._books)
            self._begun.append(attempt)
            return attempt
        return None

    def failed(self, attempt: Attempt, error: ModelError) -> None:
        self._errors[attempt.name] = (attempt.member, error)
        if isinstance(error, ContextTooLong):
            self._too_small = max(self._too_small, attempt.member.size.context_tokens or 0)
            self._queue = deque(member for member in self._queue if self._may_hold(member))
            self._resort = deque(member for member in self._resort if self._may_hold(member))

    @property
    def has_standby(self) -> bool:
        return self._plan.hedge and bool(self._queue or self._resort or self._repeatable())

    def call_standby(self) -> bool:
        if not self._queue and not self._repeat():
            self._last_resort()
        if not self._queue:
            return False
        room = self._books.ledger.room(self._queue[0].name, self._request.tags)
        return room.used < room.warn_at

    # --- rounds -----------------------------------------------------------------------------------------

    async def again(self) -> bool:
        """Wait until those that failed may be asked once more; False when nobody is left to ask."""
        if again := self._repeatable():
            errors = [self._errors[member.name][1] for member in again]
            await self._books.clock.sleep(self._patience_s(RETRY_DELAYS_S[self._rounds], errors))
            return self._repeat()
        return self._last_resort()

    async def lose(self, winner: Attempt) -> None:
        """Leave all attempts but this one; should it break off, their models are asked again."""
        for attempt in reversed(self._begun):
            if attempt is winner or attempt.result is not None:
                continue
            await attempt.leave("hedge")
            if attempt.late:
                self._queue.append(attempt.member)
            else:
                self._queue.appendleft(attempt.member)

    async def leave(self) -> None:
        """Leave all attempts: nobody waits any more."""
        async with AsyncExitStack() as leaving:  # all of them, also where one can't be closed
            for attempt in reversed(self._begun):
                leaving.push_async_callback(attempt.leave, "cancelled")

    def reason(self, model: str) -> str:
        """Return why another model takes this one's place; as `SwitchSeen.reason`."""
        return self._errors[model][1].code if model in self._errors else "hedge"

    def error(self) -> ModelError:
        """Return what to raise when nobody is left to ask: that the request is too long, if anybody said so.

        A shorter request may be answered; else it is told what each model said.
        """
        failures = self._errors.values()
        too_long = [(m.size.context_tokens or 0, e) for m, e in failures if isinstance(e, ContextTooLong)]
        error: ModelError
        if too_long:
            error = max(too_long, key=lambda each: each[0])[1]
        else:
            causes = [error for _, error in failures]
            error = self._exhausted([*causes, *self._plan.passed])
        error.attempts, error.passed_over = self.results, self._plan.passed_over
        return error

    def _exhausted(self, causes: Sequence[ModelError]) -> ModelsExhausted:
        """Return that nobody is left; a request for one model alone names that, and no route."""
        plan = self._plan
        if plan.pin is not None and plan.strict:
            return ModelsExhausted(plan.route, causes, where=f"model {plan.pin}, which was to answer alone")
        if plan.pin is not None:
            where = f"model {plan.pin}, which was asked for, then route {plan.route}"
            return ModelsExhausted(plan.route, causes, where=where)
        return ModelsExhausted(plan.route, causes)

    def _repeatable(self) -> list[Member]:
        """Return the models that have failed and may be asked once more, in the order in which they failed."""
        if self._rounds == len(RETRY_DELAYS_S):
            return []
        running = {attempt.name for attempt in self._begun if attempt.result is None}
        failures = self._errors.values()
        return [m for m, error in failures if m.name not in running and self._may_pass(m, error)]

    def _repeat(self) -> bool:
        """Line them up once more; False when there are none."""
        self._queue.extend(again := self._repeatable())
        self._rounds += bool(again)
        return bool(again)

    def _last_resort(self) -> bool:
        """Line up those that are out of service, and nobody else any more; False when there are none."""
        self._rounds = len(RETRY_DELAYS_S)
        self._queue, self._resort = self._resort, deque()
        return bool(self._queue)

    def _went_out(self, member: Member) -> bool:
        """Whether it went out of service since the plan was made, and others did not."""
        if member.name in self._errors or member.breaker.in_service:
            return False
        return any(other.breaker.in_service for other in self._queue)

    def _may_hold(self, member: Member) -> bool:
        window = member.size.context_tokens
        return window is None or window > self._too_small

    def _may_pass(self, member: Member, error: ModelError) -> bool:
        """Whether the same request may succeed there in a moment."""
        if isinstance(error, ModelRateLimited):
            may = (error.retry_after_s or 0) <= _LONGEST_WAIT_S
        else:
            may = isinstance(error, ModelUnavailable) and error.transient
        return may and self._may_hold(member)

    def _patience_s(self, delay_s: float, errors: Iterable[ModelError]) -> float:
        """Return how long to wait: our own delay, or the shortest that all waiting providers ask for."""
        waits = [(e.retry_after_s or 0.0) if isinstance(e, ModelRateLimited) else 0.0 for e in errors]
        return max(delay_s * self._jitter(), min(waits))
