"""Asking a model as one step of a turn: what it is shown, what is noted before, and again where that was too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.agent.memory import TIMES_TOO_LONG
from clawd.errors import BudgetSpent, ModelError, ModelsExhausted, TurnTooDear
from clawd.journal.records import ModelIntent
from clawd.models.base import collect, with_attempts
from clawd.models.tool_calls import without_tools
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.agent.brain import Brain
    from clawd.agent.choosing import Choice
    from clawd.agent.memory import Memory
    from clawd.agent.open_turn import OpenTurn
    from clawd.agent.turn import Why
    from clawd.agent.turn_time import TurnTime
    from clawd.agent.voice import Voice
    from clawd.messages import InboundMessage
    from clawd.models.base import ModelRequest, Reserve, RoutedProvider
    from clawd.response import ModelAttempt, ModelResponse


class Asking:
    """Asks models for one attempt at one turn.

    Args:
        brain: Has the router, the tools that are offered, and what a turn may cost.
        turn: Notes what is asked.
        memory: Makes the requests.
        time: Limits each of them.
        voice: Is shown what a model says while it says it.
    """

    def __init__(self, brain: Brain, turn: OpenTurn, memory: Memory, time: TurnTime, voice: Voice) -> None:
        self._brain = brain
        self._turn = turn
        self._memory = memory
        self._time = time
        self._voice = voice

    async def ask(
        self,
        step: int,
        merged: Mapping[int, InboundMessage],
        choice: Choice,
        *,
        last: Why | None = None,
    ) -> ModelResponse:
        """Return the answer of a model as this step of the turn.

        A request that a model finds too long is made shorter and asked again; one that only the larger models
        could have taken goes out shortened when those fail.

        Args:
            step: The step's number.
            merged: Further messages that became part of the turn, by their sequence number.
            choice: Whom to ask.
            last: Why it is the last time that the turn asks; no tools are offered then.

        Raises:
            ModelError: no model answered, or the turn's first request is dearer than a whole turn may be.
        """
        told = say(f"last_{last}", "en") if last is not None else ""
        tools = () if last else self._brain.tools.specs(self._turn.lease.right)
        refused, only_small = 0, False
        earlier: tuple[ModelAttempt, ...] = ()
        while True:
            request = await self._memory.fit(tools, merged, choice, told, only_small=only_small)
            earlier += self._memory.take_untold()
            if last is not None:  # some providers refuse calls of tools that are not offered
                request = without_tools(request)
            try:
                response = await self._ask(step, request)
            except ModelError as error:
                attempts = (*earlier, *error.attempts)
                if refused < TIMES_TOO_LONG and self._memory.too_long(error):
                    refused += 1
                elif request.min_context_tokens is not None and not only_small and not _is_spent(error):
                    only_small = True
                else:
                    error.attempts = attempts
                    raise
                earlier = attempts
                self._voice.take_back(error.code)
            else:
                self._memory.learn(response)
                return with_attempts(response, (*earlier, *response.attempts)) if earlier else response

    async def _ask(self, step: int, request: ModelRequest) -> ModelResponse:
        reserve = reserved(self._brain.router, request)
        max_usd = self._brain.agent.max_turn_usd
        if step == 1 and reserve is not None and reserve.input_usd > max_usd:
            raise TurnTooDear(reserve.model, input_usd=reserve.input_usd, limit_usd=max_usd)
        # The router itself asks again what may pass; a step is asked once.
        self._turn.note(
            ModelIntent(
                step=step,
                route=request.route,
                pin=request.pin,
                model=reserve.model if reserve is not None else None,
                reserve_usd=reserve.usd if reserve is not None else None,
            )
        )
        return await self._time.limited(collect(self._brain.router, request, self._voice.hear))


def reserved(router: RoutedProvider, request: ModelRequest) -> Reserve | None:
    """Return whom a request will be asked of first; None where the request itself will say why there is nobody."""
    try:
        return router.reserve(request)
    except ModelError:
        return None


def _is_spent(error: ModelError) -> bool:
    causes = error.causes if isinstance(error, ModelsExhausted) else (error,)
    return any(isinstance(cause, BudgetSpent) and cause.budget != "model" for cause in causes)
