"""Whether a model is in service, by how its own requests went; a provider that watches them."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.errors import (
    BudgetSpent,
    ContextTooLong,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
)
from clawd.models.base import Completed
from clawd.models.states import BreakerState
from clawd.models.tool_calls import sane_calls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from typing import Literal

    from clawd.config.schema import BreakerConfig, ModelConfig
    from clawd.ids import Clock
    from clawd.models.base import ModelEvent, ModelProvider, ModelRequest, ModelResponse

log = logging.getLogger(__name__)

LONGEST_S: Final = 600.0  # that a model is left alone, however often it failed

_MOST: Final = 1000  # requests of a window that are looked at, the newest ones
_WHY: Final = 200  # characters of an error that are kept
# These tell of the request, of money and of haste, not of the model.
_NOT_ITS_FAULT: Final = (ContextTooLong, BudgetSpent, ModelRateLimited)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a model is slow, and when it goes out of service; see the section `breaker`."""

    first_token_s: float
    error_rate: float
    slow_rate: float
    window_s: float
    min_calls: int
    open_s: float

    @classmethod
    def of(cls, general: BreakerConfig, model: ModelConfig | None = None) -> BreakerLimits:
        """Return the general limits, with the model's own where it has one."""
        own_s = model.first_token_s if model is not None else None
        return cls(
            first_token_s=own_s or general.first_token_s,
            error_rate=general.error_rate,
            slow_rate=general.slow_rate,
            window_s=general.window_s,
            min_calls=general.min_calls,
            open_s=general.open_s,
        )


@dataclass(slots=True, eq=False)
class Call:
    """One request, as the breaker sees it."""

    begun: float  # monotonic
    judged: float = 0.0  # monotonic
    heard: float | None = None  # monotonic; its first sign of life
    over: bool = False  # its verdict is in, or it has none
    slow: bool = False
    failed: bool = False


class Breaker:
    """Takes one model out of service and lets it come back. Judges by real requests alone.

    A request that fails, or is too slow, lets the model `rest`: others are asked before it. Where enough
    requests of a window did so it goes `open`: it is asked when there is nobody else. When that time is
    over it is `half_open`, and the next request probes it; an answer in time closes it, also one that was
    given while it was open. Each wait that follows a wait without such an answer is twice as long, up to
    `LONGEST_S`.

    Args:
        model: The configured name.
        limits: What counts as slow, and how much is too much.
        clock: Measures; waits for nothing.
        note: Told of every transition.
        state: To begin with: what was noted last, if it still holds.
    """

    def __init__(
        self,
        model: str,
        limits: BreakerLimits,
        clock: Clock,
        *,
        note: Callable[[BreakerState], None] = lambda _: None,
        state: BreakerState | None = None,
    ) -> None:
        self.limits = limits
        self._model = model
        self._clock = clock
        self._note = note
        self._calls: deque[Call] = deque(maxlen=_MOST)  # with a verdict, oldest first
        self._state = BreakerState()
        self._since = clock.monotonic()
        self._until = 0.0  # monotonic; rest, open: the end of it
        self._wait_s = 0.0  # the last wait that no good answer has followed yet
        self._counted = ""  # what was too much in the window when it went open
        self._probe: Call | None = None
        if state is not None and state.state != "closed":
            self._take_up(state)

    @property
    def state(self) -> BreakerState:
        """The state as of now."""
        self._look()
        return self._state

    @property
    def in_service(self) -> bool:
        """Whether a request may be sent there: not while it is open, nor beside a probe."""
        self._look()
        if self._state.state == "half_open":
            return self._probe is None
        return self._state.state != "open"

    @property
    def resting(self) -> bool:
        """Whether others are to be asked first."""
        self._look()
        return self._state.state == "rest"

    @property
    def due(self) -> float:
        """The monotonic time at which it is asked again by itself."""
        return self._until

    # --- what a request tells ---------------------------------------------------------------------------

    def begin(self) -> Call:
        """Return the new request; where the model is half open and nobody probes it, the probe."""
        self._look()
        call = Call(begun=self._clock.monotonic())
        if self._state.state == "half_open" and self._probe is None:
            self._probe = call
        return call

    def heard(self, call: Call) -> None:
        """Note a sign of life: the first may have come too late."""
        if call.heard is None:
            call.heard = self._clock.monotonic()
            if self._is_late(call):
                self._too_slow(call)

    def answered(self, call: Call) -> None:
        """Note the complete answer."""
        if call.over:  # it was slow
            return
        self._look()
        self._judge(call)
        if not self._tells_of_now(call):
            return
        if self._state.state == "closed":
            self._wait_s = 0.0
        else:
            self._close()

    def failed(self, call: Call, error: ModelError) -> None:
        """Note an error; some are not the model's."""
        if isinstance(error, _NOT_ITS_FAULT) or (isinstance(error, ModelUnavailable) and error.local):
            self.left(call, silent=False)
            return
        call.failed = True
        why = ": ".join(part for part in (error.what, error.why) if part)
        why = why if len(why) <= _WHY else f"{why[: _WHY - 1]}…"
        self._went_wrong(call, why, at_once=isinstance(error, ModelAuthError))

    def left(self, call: Call, *, silent: bool = True) -> None:
        """Note that nobody waits for the request any more.

        Args:
            call: The request.
            silent: Whether it may be blamed for that: it was, if no sign of life came in time.
        """
        if call.over:
            return
        if silent and call.heard is None and self._is_late(call):
            self._too_slow(call)
        if self._probe is call:  # it told nothing: the next one probes
            self._probe = None
        call.over = True

    def mended(self) -> None:
        """Note that it was seen to answer by other means: a person tried it."""
        self._look()
        if self._state.state != "closed":
            self._close()

    # --- transitions ------------------------------------------------------------------------------------

    def _tells_of_now(self, call: Call) -> bool:
        """Whether its answer came after the trouble began, and not only because it was on its way already.

        While others are in flight one failure is one among many: it is enough for the end of a rest that the
        first token of one of them came after it.
        """
        began = call.heard if self._state.state == "rest" and call.heard is not None else call.begun
        return began >= self._since

    def _is_late(self, call: Call) -> bool:
        return self._clock.monotonic() - call.begun >= self.limits.first_token_s

    def _too_slow(self, call: Call) -> None:
        call.slow = True
        self._went_wrong(call, f"no first token within {self.limits.first_token_s:g} s", at_once=False)

    def _went_wrong(self, call: Call, why: str, *, at_once: bool) -> None:
        self._look()
        if not call.over:
            self._judge(call)
        match self._state.state:
            case "half_open" if self._probe is call:
                self._stop("open", why)
            case "half_open" | "open":
                self._explain(why)
            case state:
                if at_once:
                    self._stop("open", why)
                elif too_many := self._too_many():
                    self._stop("open", why, too_many)
                elif state == "closed":
                    self._stop("rest", why)
                else:
                    self._explain(why)

    def _explain(self, why: str) -> None:
        """Keep the newest reason; the state stays, and so does what it was counted by."""
        self._state = replace(self._state, why=_words(self._counted, why))

    def _judge(self, call: Call) -> None:
        """Count the call in the window."""
        now = self._clock.monotonic()
        call.over, call.judged = True, now
        self._calls.append(call)
        while self._calls[0].judged < now - self.limits.window_s:
            self._calls.popleft()

    def _too_many(self) -> str:
        """Return what is too much in the window; empty when nothing is."""
        limits, count = self.limits, len(self._calls)
        if count < limits.min_calls:
            return ""
        failed = sum(call.failed for call in self._calls)
        if failed >= limits.error_rate * count:
            return f"{failed} of {count} requests failed"
        slow = sum(call.slow for call in self._calls)
        if slow >= limits.slow_rate * count:
            return f"{slow} of {count} requests were slow"
        return ""

    def _look(self) -> None:
        """Let time pass: a rest ends, an open breaker becomes due."""
        if self._until and self._clock.monotonic() >= self._until:
            self._until = 0.0
            if self._state.state == "rest":
                self._move(BreakerState(since=self._clock.now()))
            elif self._state.state == "open":
                self._move(BreakerState(state="half_open", why=self._state.why, since=self._clock.now()))

    def _stop(self, state: Literal["rest", "open"], why: str, counted: str = "") -> None:
        self._counted = counted
        now = self._clock.monotonic()
        if not self._until:  # a wait that is under way is not doubled by the next failure in it
            longest_s = max(LONGEST_S, self.limits.open_s)
            self._wait_s = min(longest_s, self._wait_s * 2) if self._wait_s else self.limits.open_s
        if self._state.state == "closed":
            self._since = now
        self._until = now + self._wait_s
        self._probe = None
        wall = self._clock.now()
        until = wall + timedelta(seconds=self._wait_s)
        self._move(BreakerState(state=state, why=_words(counted, why), since=wall, until=until))

    def _close(self) -> None:
        self._wait_s = self._until = 0.0
        self._probe = None
        if self._state.state != "rest":
            self._calls.clear()  # what was counted before it went out of service
        self._move(BreakerState(since=self._clock.now()))

    def _move(self, state: BreakerState) -> None:
        was, self._state = self._state.state, state
        self._note(state)
        level = logging.WARNING if state.state == "open" else logging.INFO
        extra = {
            "model": self._model,
            "state": state.state,
            "was": was,
            "why": state.why,
            "until": state.until,
        }
        log.log(level, "breaker_changed", extra=extra)

    def _take_up(self, state: BreakerState) -> None:
        """Go on from a state of an earlier run, or of an earlier configuration."""
        now = self._clock.monotonic()
        self._wait_s = self.limits.open_s
        if state.until is not None:
            # By the wall clock, which may have been set meanwhile.
            left_s = min((state.until - self._clock.now()).total_seconds(), LONGEST_S)
            if state.since is not None:
                self._wait_s = min(max((state.until - state.since).total_seconds(), self._wait_s), LONGEST_S)
            self._until = now + max(0.0, left_s)
            self._state = state
        elif state.state == "half_open":
            self._state = state


def _words(counted: str, why: str) -> str:
    return f"{counted}; the last: {why}" if counted else why


class Guarded:
    """A provider that is held to its contract, and whose breaker is told of every request.

    An empty answer, or a stream without an end, is an error. It refuses no request: whoever routes asks the
    breaker first.
    """

    def __init__(self, provider: ModelProvider, breaker: Breaker) -> None:
        self.name = provider.name
        self.breaker = breaker
        self._provider = provider

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        breaker = self.breaker
        call = breaker.begin()
        answered = False
        try:
            async with aclosing(self._provider.stream(request)) as events:
                async for event in events:
                    if call.heard is None:
                        breaker.heard(call)
                    if isinstance(event, Completed):
                        event = Completed(self._sound(event.response))
                        breaker.answered(call)
                        answered = True
                    yield event
            if not answered:
                raise ModelUnavailable(self.name, "the stream ended without an answer")
        except ModelError as error:
            breaker.failed(call, error)
            raise
        finally:
            breaker.left(call)

    def _sound(self, response: ModelResponse) -> ModelResponse:
        """Return the answer with calls that can be worked with; raises ModelUnavailable for an empty one."""
        response = replace(response, tool_calls=sane_calls(response.tool_calls))
        if not response.text.strip() and not response.tool_calls:
            raise ModelUnavailable(self.name, "the model's answer is empty", why="no text, no tool call")
        return response
