"""One request to one model on the way to a response: measured, and paid for."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from clawd.errors import ModelError
from clawd.models.base import Completed, ModelAttempt, Progress, TextDelta
from clawd.models.costs import cost_of
from clawd.response import Usage

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.ids import Clock
    from clawd.models.base import ModelEvent, ModelRequest
    from clawd.models.estimate import Estimate
    from clawd.models.ledger import Ledger
    from clawd.models.member import Member
    from clawd.models.traffic import TrafficBook

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Books:
    """Where attempts are counted."""

    clock: Clock
    ledger: Ledger
    traffic: TrafficBook


class Attempt:
    """Begins at once with its reserve held; read it by `more`, and `leave` it unless it has ended.

    When it ends, in whatever way, its cost is settled, and `result` and the books have it.
    """

    def __init__(self, member: Member, request: ModelRequest, estimate: Estimate, books: Books) -> None:
        self.member = member
        self.name = member.name
        self.late = False  # no sign of life came in time: another model is asked beside it
        self.result: ModelAttempt | None = None
        self._request = request
        self._estimate = estimate
        self._books = books
        self._holding = ExitStack()
        if reserve_usd := member.reserve_usd(estimate):
            self._holding.enter_context(books.ledger.hold(member.name, request.tags, reserve_usd))
        # Monotonic; None while it waits for its turn: the model knows nothing of it then.
        self._begun: float | None = None
        self._begun_at: datetime | None = None
        self._first_token_s: float | None = None
        self._texts: list[str] = []
        self._marks = 0
        self._kept: deque[ModelEvent] = deque()
        self._events = member.stream(request, self._on_begin)

    async def more(self) -> ModelEvent:
        """Return the next event; `Completed` is the last.

        Raises:
            ModelError: it has failed, and ended.
        """
        if self._kept:
            return self._kept.popleft()
        try:
            event = await anext(self._events)
        except ModelError as error:
            self._end(error.code, error=error)
            raise
        match event:
            case TextDelta(text=text):
                self._texts.append(text)
            case Progress(what="keepalive"):
                return event
            case Progress():
                self._marks += 1
            case _:
                pass
        if self._first_token_s is None:
            self._first_token_s = self._took_s()
        if isinstance(event, Completed):
            event = self._believed(event)
            self._end("ok", usage=event.response.usage)
        return event

    def keep(self, event: ModelEvent) -> None:
        """Have `more` return this event once more, before those that have not been read."""
        self._kept.append(event)

    async def leave(self, outcome: Literal["hedge", "cancelled"]) -> None:
        """Close it: another one answered first, or nobody waits any more. One that has ended stays so."""
        try:
            await self._events.aclose()
        finally:  # whatever becomes of the connection, the reserve is not held for ever
            if self.result is None:
                self._end(outcome)

    def _believed(self, completed: Completed) -> Completed:
        """Return the answer, as one that nobody counted where its count can't be true."""
        usage = completed.response.usage
        if self._estimate.believes(usage):
            self.member.counts_wrongly = False
            return completed
        if not self.member.counts_wrongly:
            extra = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
            log.warning("usage_not_believed", extra={"model": self.name, **extra})
        self.member.counts_wrongly = True
        return Completed(replace(completed.response, usage=Usage()))

    def _on_begin(self) -> None:
        self.member.began()
        self._begun = self._books.clock.monotonic()
        self._begun_at = self._books.clock.now()

    def _took_s(self) -> float:
        return 0.0 if self._begun is None else self._books.clock.monotonic() - self._begun

    # --- the end ----------------------------------------------------------------------------------------

    def _end(self, outcome: str, *, error: ModelError | None = None, usage: Usage | None = None) -> None:
        usage = usage or Usage()
        price = self.member.price
        cost_usd = cost_of(price, usage)
        self.result = result = ModelAttempt(
            model=self.name,
            outcome=outcome,
            detail=": ".join(filter(None, (error.what, error.why))) if error is not None else "",
            duration_s=round(self._took_s(), 6),
            first_token_s=None if self._first_token_s is None else round(self._first_token_s, 6),
            usage=usage,
            cost_usd=cost_usd,
            possible_usd=self._possible_usd(error) if cost_usd is None else 0.0,
            begun_at=self._begun_at,
        )
        self._log(result, error)
        self._books.ledger.settle(self._request.tags, (result,))
        self._holding.close()
        if self._begun is not None:  # who left the line, or was turned away by it, never reached the model
            self._books.traffic.attempt(result)
            self.member.ended(result, error)

    def _log(self, result: ModelAttempt, error: ModelError | None) -> None:
        # While the network is away each try would say the same, for hours.
        again = error is not None and error.offline and str(error) == self.member.last_error
        level = logging.DEBUG if again or result.outcome in ("ok", "hedge", "cancelled") else logging.INFO
        if not log.isEnabledFor(level):
            return
        extra = {"model": result.model, "outcome": result.outcome, "seconds": round(result.duration_s, 3)}
        if result.first_token_s is not None:
            extra["first_token_s"] = round(result.first_token_s, 3)
        if result.detail:
            extra["error"] = result.detail
        log.log(level, "model_attempt", extra=extra)

    def _possible_usd(self, error: ModelError | None) -> float:
        """Return what it may have cost: nothing where it was turned away before anybody worked on it."""
        if self._begun is None:
            return 0.0
        silent = self._first_token_s is None
        if error is not None and silent and self._took_s() < self.member.first_token_s:
            return 0.0
        return self._estimate.possible_usd(self.member.price, self.member.size, self._texts, self._marks)
