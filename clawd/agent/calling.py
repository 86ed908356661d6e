"""Calling a tool as one step of a turn: whether it may run, what is committed before, and what came of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from clawd.agent.questions import decide, refusal
from clawd.journal.records import ToolDone, ToolIntent
from clawd.texts import say
from clawd.tools.base import ToolContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine
    from typing import Literal, NoReturn

    from clawd.agent.run import Brain, TurnRunner
    from clawd.agent.turn import CallTool
    from clawd.journal.base import Lease
    from clawd.journal.records import Record

    Outcome = Literal["ok", "error", "unknown"]
    Called = tuple[str, Outcome]
    Limited = Callable[[Coroutine[None, None, Called]], Awaitable[Called]]
    WaitForWord = Callable[[CallTool, Literal["approval", "unknown"], str], Awaitable[NoReturn]]


log = logging.getLogger(__name__)


class OutOfTime(Exception):
    """The time that `agent.max_turn_s` leaves for this is used up."""


class Calling:
    """Calls tools for one attempt at one turn.

    Args:
        runner: Tells of calls.
        brain: Has the tools.
        lease: Of the turn.
        allowed: The patterns that pass without a question; it grows with the turn.
        commit: Commits a record.
        limited: Returns what its work returns, within the turn's own limits; raises OutOfTime.
        wait_for_word: Asks a person, and raises, as the lease is over then.
    """

    def __init__(
        self,
        runner: TurnRunner,
        brain: Brain,
        lease: Lease,
        *,
        allowed: Collection[str],
        commit: Callable[[Record], Awaitable[None]],
        limited: Limited,
        wait_for_word: WaitForWord,
    ) -> None:
        self._runner = runner
        self._brain = brain
        self._lease = lease
        self._allowed = allowed
        self._commit = commit
        self._limited = limited
        self._wait_for_word = wait_for_word

    async def call(self, action: CallTool) -> ToolDone:
        """Run one call, or say why it does not run; raises what `wait_for_word` does where a person is asked."""
        call, step = action.call, action.step
        consent = self._brain.tools.consent(call.name, call.arguments, self._lease.right)
        decision = decide(action, consent, self._allowed, self._brain.asking.on_unknown)
        match decision.next:
            case "ask":
                subject = consent.subject if consent is not None else call.arguments
                await self._wait_for_word(action, decision.about, subject)
            case "denied":
                text = refusal(action.answer)
                return ToolDone(step=step, call_id=call.id, name=call.name, text=text, outcome="denied")
            case "unknown":
                text = say("tool_unknown", "en")
                return ToolDone(step=step, call_id=call.id, name=call.name, text=text, outcome="unknown")
            case "run":
                pass
        return await self._run(action)

    async def _run(self, action: CallTool) -> ToolDone:
        """Run one call, its intent committed first where a repeat would matter."""
        call, step = action.call, action.step
        effect = self._brain.tools.effect(call.name)
        if effect != "pure" and (action.intent is None or effect == "once"):
            intent = ToolIntent(
                step=step, call_id=call.id, name=call.name, arguments=call.arguments, effect=effect
            )
            await self._commit(intent)
        self._runner.tell_call(self._lease, call.name, "started", call.arguments)
        began = self._runner.clock.monotonic()
        context = ToolContext(
            turn=self._lease.turn,
            step=step,
            address=self._lease.address,
            sender=self._lease.message.sender,
            clock=self._runner.clock,
            history=self._runner.history,
        )
        work = self._brain.tools.call(call.name, call.arguments, context, self._lease.right)
        outcome: Outcome
        try:
            text, outcome = await self._limited(work)
        except OutOfTime:  # there is still time for a last answer
            text, outcome = say("tool_out_of_time", "en"), "unknown"
        duration_s = self._runner.clock.monotonic() - began
        self._runner.tell_call(self._lease, call.name, outcome, text, duration_s)
        seconds = round(duration_s, 3)
        log.debug(
            "tool_called", extra={"step": step, "tool": call.name, "outcome": outcome, "seconds": seconds}
        )
        return ToolDone(
            step=step, call_id=call.id, name=call.name, text=text, outcome=outcome, duration_s=duration_s
        )
