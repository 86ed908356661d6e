"""Calling a tool as one step of a turn: whether it may run, what is committed before, and what came of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from clawd.agent.questions import decide, refusal
from clawd.agent.turn_time import OutOfTime
from clawd.journal.records import ToolDone, ToolIntent
from clawd.texts import say
from clawd.tools.base import ToolContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Literal, NoReturn

    from clawd.agent.brain import Brain
    from clawd.agent.open_turn import OpenTurn
    from clawd.agent.turn import CallTool
    from clawd.agent.turn_time import TurnTime
    from clawd.agent.workplace import Workplace

    Outcome = Literal["ok", "error", "unknown"]
    WaitForWord = Callable[[CallTool, Literal["approval", "unknown"], str], Awaitable[NoReturn]]


log = logging.getLogger(__name__)


class Calling:
    """Calls tools for one attempt at one turn.

    Args:
        workplace: Tells of calls.
        brain: Has the tools.
        turn: Commits what a call is about to do.
        time: Limits each call, and leaves some for a last answer.
        wait_for_word: Asks a person, and raises, as the lease is over then.
    """

    def __init__(
        self,
        workplace: Workplace,
        brain: Brain,
        turn: OpenTurn,
        time: TurnTime,
        *,
        wait_for_word: WaitForWord,
    ) -> None:
        self._workplace = workplace
        self._brain = brain
        self._turn = turn
        self._time = time
        self._wait_for_word = wait_for_word

    async def call(self, action: CallTool) -> ToolDone:
        """Run one call, or say why it does not run; raises what `wait_for_word` does where a person is asked."""
        call, step = action.call, action.step
        consent = self._brain.tools.consent(call.name, call.arguments, self._turn.lease.right)
        decision = decide(action, consent, self._turn.allowed, self._brain.asking.on_unknown)
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
            await self._turn.commit(intent)
        recorder, clock, lease = self._workplace.recorder, self._workplace.clock, self._turn.lease
        recorder.tell_call(lease, call.name, "started", call.arguments)
        began = clock.monotonic()
        context = ToolContext(
            turn=lease.turn,
            step=step,
            address=lease.address,
            sender=lease.message.sender,
            clock=clock,
            history=self._workplace.history,
        )
        work = self._brain.tools.call(call.name, call.arguments, context, lease.right)
        outcome: Outcome
        try:
            text, outcome = await self._time.limited(work, spare=True)
        except OutOfTime:  # there is still time for a last answer
            text, outcome = say("tool_out_of_time", "en"), "unknown"
        duration_s = clock.monotonic() - began
        recorder.tell_call(lease, call.name, outcome, text, duration_s)
        seconds = round(duration_s, 3)
        log.debug(
            "tool_called", extra={"step": step, "tool": call.name, "outcome": outcome, "seconds": seconds}
        )
        return ToolDone(
            step=step, call_id=call.id, name=call.name, text=text, outcome=outcome, duration_s=duration_s
        )
