"""When the next request to one model may begin: its limits, its waiting line, and the pause of its key."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.errors import ModelRateLimited
from clawd.models.line import FairLine, Waiter
from clawd.models.minute import MINUTE_S, SlidingMinute

if TYPE_CHECKING:
    from clawd.config.schema import ModelConfig
    from clawd.ids import Clock
    from clawd.models.minute import Taken
    from clawd.models.pauses import KeyPauses

_USUAL_S: Final = 2.0  # how long a request takes, before one has been seen
_WEIGHT: Final = 0.2  # of the newest request in the average


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceLimits:
    """What a model may be asked; None is no limit. The keys of the same names in a model's section."""

    concurrency: int | None = None
    requests_per_min: int | None = None
    tokens_per_min: int | None = None

    @classmethod
    def of(cls, config: ModelConfig) -> PaceLimits:
        """Return the limits that a model's section sets."""
        return cls(
            concurrency=config.concurrency,
            requests_per_min=config.requests_per_min,
            tokens_per_min=config.tokens_per_min,
        )

    @property
    def none(self) -> bool:
        """Whether there is no limit at all."""
        return self.concurrency is None and self.requests_per_min is None and self.tokens_per_min is None


@dataclass(slots=True, eq=False)
class Pass:
    """One request under way, as the limits know it."""

    began: float  # monotonic
    tokens: Taken | None = None
    over: bool = False


class Pace:
    """Lets requests to one model begin, as fast as its limits and its key allow.

    Who has to wait does so in a `FairLine`; the first of it sleeps until the rates have room, or is woken by
    a request that ends. A pause of the key turns everybody away at once, those that wait as well, so that
    a route can go on to another key.

    Args:
        model: Its configured name, for errors.
        limits: `adjust` changes them later.
        pauses: Shared by all models.
        key_id: Models with the same one share a pause; "" shares with nobody.
        clock: Measures and waits.
    """

    def __init__(self, model: str, limits: PaceLimits, pauses: KeyPauses, key_id: str, clock: Clock) -> None:
        self.in_flight = 0
        self.limits = limits
        self.pauses = pauses
        self.key_id = key_id or f"model {model}"
        self._model = model
        self._clock = clock
        self._line = FairLine()
        self._requests = SlidingMinute()
        self._tokens = SlidingMinute()
        self._usual_s = _USUAL_S
        self._usual_tokens = 0.0  # that a request takes, before it is counted

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._line)

    def adjust(self, limits: PaceLimits) -> None:
        """Hold these limits from now on; requests under way go on, whatever they are."""
        self.limits = limits
        self._next()

    async def enter(self, conversation: str, tokens: int) -> Pass:
        """Return as soon as a request may begin; `leave` ends it.

        Args:
            conversation: Whose request it is: those of one wait in order, several are served in turn.
            tokens: What it is going to take, input and output together.

        Raises:
            ModelRateLimited: the key rests; `retry_after_s` says how long yet.
        """
        self._refuse_while_resting()
        if not self.limits.none and (self._line.first is not None or self._delay_s(tokens) != 0):
            await self._wait(Waiter(conversation=conversation, tokens=tokens))
        return self._begin(tokens)

    def leave(self, entered: Pass, tokens: int | None = None) -> None:
        """End a request; `tokens` is what it really took, None when nobody counted. Twice is once."""
        if entered.over:
            return
        entered.over = True
        self.in_flight -= 1
        if self.limits.none:
            return
        self._usual_s += _WEIGHT * (self._clock.monotonic() - entered.began - self._usual_s)
        if entered.tokens is not None and tokens is not None:
            self._tokens.correct(entered.tokens, tokens)
        self._next()

    def wait_s(self) -> float:
        """Return about how long a request that came now would wait; 0: it may begin."""
        return max(self.pauses.rest_s(self.key_id), self.held()[0])

    def held(self) -> tuple[float, str]:
        """Return about how long the model's own limits would hold a request that came now, and which of them does.

        The limit is told by its key in the model's section; 0 and "" where none does.
        """
        limits = self.limits
        if limits.none:
            return 0.0, ""
        ahead, now = len(self._line), self._clock.monotonic()
        waits = [(0.0, "")]
        if limits.concurrency is not None and self.in_flight + ahead >= limits.concurrency:
            waits.append((self._usual_s * (ahead + 1) / limits.concurrency, "concurrency"))
        if (most := limits.requests_per_min) is not None:
            wait_s = self._requests.wait_s(ahead + 1, most, now) + ahead // most * MINUTE_S
            waits.append((wait_s, "requests_per_min"))
        if (most := limits.tokens_per_min) is not None:
            tokens = self._line.tokens + min(math.ceil(self._usual_tokens), most)
            wait_s = self._tokens.wait_s(tokens, most, now) + (tokens - 1) // most * MINUTE_S
            waits.append((wait_s, "tokens_per_min"))
        longest = max(waits, key=lambda wait: wait[0])
        return longest if longest[0] > 0 else (0.0, "")

    def _begin(self, tokens: int) -> Pass:
        now, limits = self._clock.monotonic(), self.limits
        self.in_flight += 1
        if limits.requests_per_min is not None:
            self._requests.take(1, now)
        if limits.tokens_per_min is None:
            return Pass(now)
        usual = self._usual_tokens
        self._usual_tokens = usual + _WEIGHT * (tokens - usual) if usual else float(tokens)
        return Pass(now, self._tokens.take(tokens, now))

    async def _wait(self, waiter: Waiter) -> None:
        served = False
        self._line.join(waiter)
        try:
            with self.pauses.watching(self.key_id, waiter.woken.set):
                while (delay_s := self._delay_of(waiter)) != 0:
                    waiter.woken.clear()
                    await self._woken(waiter, delay_s)
                    self._refuse_while_resting()
            served = True
        finally:
            self._line.leave(waiter, served=served)
            self._next()

    def _delay_of(self, waiter: Waiter) -> float | None:
        """Return in how many seconds the waiter may go, as far as time decides; None: only events do."""
        return self._delay_s(waiter.tokens) if self._line.first is waiter else None

    def _delay_s(self, tokens: int) -> float | None:
        limits, now = self.limits, self._clock.monotonic()
        if limits.concurrency is not None and self.in_flight >= limits.concurrency:
            return None
        delay_s = 0.0
        if limits.requests_per_min is not None:
            delay_s = self._requests.wait_s(1, limits.requests_per_min, now)
        if limits.tokens_per_min is not None:
            delay_s = max(delay_s, self._tokens.wait_s(tokens, limits.tokens_per_min, now))
        return delay_s

    async def _woken(self, waiter: Waiter, delay_s: float | None) -> None:
        """Return when the waiter is woken, or after the delay."""
        if delay_s is None:
            await waiter.woken.wait()
            return
        async with asyncio.TaskGroup() as group:
            alarm = group.create_task(self._alarm(waiter, delay_s), name=f"pace:{self._model}")
            await waiter.woken.wait()
            alarm.cancel()

    async def _alarm(self, waiter: Waiter, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        waiter.woken.set()

    def _next(self) -> None:
        """Let the first of the line look whether it may go."""
        if (first := self._line.first) is not None:
            first.woken.set()

    def _refuse_while_resting(self) -> None:
        if rest_s := self.pauses.rest_s(self.key_id):
            said, rest = self.pauses.why(self.key_id), f"its key is to rest for {math.ceil(rest_s)} s more"
            why = f"{said}; {rest}" if said else rest
            raise ModelRateLimited(self._model, why=why, retry_after_s=rest_s)
