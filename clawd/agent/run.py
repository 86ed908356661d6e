"""One turn under a lease: the only place where a turn has effects.

Each effect is committed before it begins where a repeat would matter, and its result before anything
follows from it. `turn.advance` decides what is next; this file does it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from clawd.agent import ending as endings
from clawd.agent.context import build_context
from clawd.agent.mailbox import Box, Mailbox, Stopped
from clawd.agent.settings import carry_out
from clawd.agent.turn import AlreadyFinished, Answered, AskModel, CallTool, OutOfSteps, advance, apply, fold
from clawd.agent.voice import Voice
from clawd.commands import ChooseLanguage, ChooseModel, NewSession, parse
from clawd.errors import JournalUnavailable, ModelError
from clawd.fanout import Ended, Started, ToolNote
from clawd.journal.base import NewDelivery
from clawd.journal.records import ModelIntent, ModelResult, ToolDone, ToolIntent, TurnFinished
from clawd.models.base import ModelRequest, collect
from clawd.texts import say
from clawd.tools.base import ToolContext

if TYPE_CHECKING:
    from clawd.agent.turn import Turn
    from clawd.config.schema import AgentConfig
    from clawd.fanout import Fanout
    from clawd.ids import Clock
    from clawd.journal.base import Journal, Lease, Loaded
    from clawd.journal.records import Record
    from clawd.messages import Address
    from clawd.models.base import ModelProvider
    from clawd.response import ModelResponse
    from clawd.tools.registry import Toolbox

log = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE_S: Final = (0.5, 1.0, 2.0, 5.0)  # between attempts to commit while the disk is full or locked

Split = Callable[["Address", str], Sequence[str]]
"""Cuts a reply into parts that the address's bridge can carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brain:
    """What a turn works with; a reload makes a new one, and turns under way keep theirs."""

    agent: AgentConfig
    router: ModelProvider
    models: tuple[str, ...]  # names that /model may choose, the default route's first
    tools: Toolbox


class TurnRunner:
    """Runs one turn from wherever its records have got to, to its end."""

    def __init__(
        self,
        journal: Journal,
        fanout: Fanout,
        mailbox: Mailbox,
        clock: Clock,
        *,
        brain: Callable[[], Brain],
        split: Split,
    ) -> None:
        self._journal = journal
        self._fanout = fanout
        self._mailbox = mailbox
        self._clock = clock
        self._brain = brain
        self._split = split

    async def run(self, lease: Lease) -> None:
        """Bring the turn to its end and commit it.

        Raises:
            Fenced: somebody else owns the conversation now.
            JournalError: the journal is broken or the turn's rows can't be read.
        """
        brain = self._brain()
        with self._mailbox.open(lease.turn) as box:
            self._fanout.publish(lease.address, Started(lease=lease))
            if lease.attempts > brain.agent.max_attempts:
                log.error("turn_dead", extra={"turn": lease.turn, "attempts": lease.attempts})
                await self.finish(lease, endings.dead(lease.attempts - 1, language_of(lease)), whole=True)
                return
            loaded = await self._journal.load(lease)
            if any(control.kind == "stop" for control in loaded.controls):
                box.stop()
            ending = await _Attempt(self, brain, lease, loaded, box).reach_end()
            if ending is not None:
                await self.finish(lease, ending)

    async def finish(self, lease: Lease, ending: endings.Ending, *, whole: bool = False) -> None:
        """Commit the end of the turn together with its deliveries, then tell who watches.

        Args:
            lease: Ends with the commit.
            ending: What is committed.
            whole: Send the text as one part: for our own short sentences where cutting may be what failed.
        """
        finished = TurnFinished(
            outcome=ending.outcome,
            text=ending.text,
            answers=(lease.seq,),
            model=ending.model,
            error=ending.error,
            exit_code=ending.exit_code,
        )
        deliveries = self._deliveries(lease, ending, whole=whole)
        await self.commit(lease, *ending.records, finished, outbox=deliveries, done=True)
        self._fanout.publish(
            lease.address,
            Ended(
                turn=lease.turn,
                outcome=ending.outcome,
                text=ending.text,
                model=ending.model,
                exit_code=ending.exit_code,
            ),
        )
        extra = {"turn": lease.turn, "outcome": ending.outcome, "model": ending.model, "error": ending.error}
        log.info("turn_finished", extra=extra)

    async def commit(
        self, lease: Lease, *records: Record, outbox: Sequence[NewDelivery] = (), done: bool = False
    ) -> None:
        """Record, waiting out a full or locked disk: an answer that was paid for is not thrown away."""
        pauses = iter(PAUSE_S)
        pause_s = PAUSE_S[-1]
        while True:
            try:
                await self._journal.record(lease, *records, outbox=outbox, done=done)
            except JournalUnavailable as error:
                pause_s = next(pauses, PAUSE_S[-1])
                log.warning("turn_paused", extra={"turn": lease.turn, "error": str(error)})
                await self._clock.sleep(pause_s)
            else:
                return

    def _deliveries(self, lease: Lease, ending: endings.Ending, *, whole: bool) -> tuple[NewDelivery, ...]:
        if lease.address.pulls:
            return ()
        parts = [ending.text] if whole else self._split(lease.address, ending.text)
        return tuple(
            NewDelivery(
                part=part,
                parts=len(parts),
                text=text,
                kind="reply" if ending.outcome == "answered" else "failed",
            )
            for part, text in enumerate(parts)
        )

    @property
    def clock(self) -> Clock:
        """The clock that turns run by."""
        return self._clock

    def publish_tool(self, lease: Lease, note: ToolNote) -> None:
        """Show that a tool call began or ended."""
        self._fanout.publish(lease.address, note)

    def note(self, lease: Lease, intent: ModelIntent) -> None:
        """Queue the intent of a model call; nobody waits for its commit."""
        self._journal.note(lease, intent)

    def voice(self, lease: Lease, committed: str) -> Voice:
        """Return the visible text of an attempt that begins behind `committed`."""
        return Voice(self._fanout, lease, committed)


class _OutOfTime(Exception):
    """The turn has used up `agent.max_turn_s`."""


class _Attempt:
    """One attempt at one turn."""

    def __init__(self, runner: TurnRunner, brain: Brain, lease: Lease, loaded: Loaded, box: Box) -> None:
        self._runner = runner
        self._brain = brain
        self._lease = lease
        self._loaded = loaded
        self._box = box
        self._turn: Turn = fold(loaded.records)
        self._voice = runner.voice(lease, self._turn.visible_text)
        self._deadline = asyncio.get_running_loop().time() + brain.agent.max_turn_s

    async def reach_end(self) -> endings.Ending | None:
        """Return how the turn ends; None when its end is recorded already."""
        language = language_of(self._lease)
        command = parse(self._lease.message.text)
        if isinstance(command, NewSession | ChooseModel | ChooseLanguage):
            return carry_out(command, self._lease.settings, language, self._brain.models)
        try:
            return await self._go_on()
        except Stopped:
            return endings.stopped(self._voice.text, language)
        except _OutOfTime:
            return endings.out_of_time(language, self._brain.agent.max_turn_s)
        except ModelError as error:
            return endings.no_model(error, language)

    async def _go_on(self) -> endings.Ending | None:
        language = language_of(self._lease)
        while True:
            match advance(self._turn, max_steps=self._brain.agent.max_steps):
                case AskModel(step=step):
                    result = ModelResult(step=step, response=await self._ask(step))
                    self._turn = apply(self._turn, result)
                    answer = advance(self._turn, max_steps=self._brain.agent.max_steps)
                    if isinstance(answer, Answered):
                        # The answer, the turn's end and its deliveries are one commit.
                        return endings.answered(answer, language, records=(result,))
                    await self._runner.commit(self._lease, result)
                    self._voice.commit(self._turn.visible_text)
                case CallTool() as action:
                    done = await self._call(action)
                    self._turn = apply(self._turn, done)
                    await self._runner.commit(self._lease, done)
                case Answered() as answer:
                    return endings.answered(answer, language)
                case OutOfSteps(steps=steps):
                    return endings.out_of_steps(language, steps)
                case AlreadyFinished():
                    return None

    async def _limited(self, work: Coroutine[None, None, T]) -> T:
        """Return what `work` returns; raises Stopped, or _OutOfTime where the turn's own limit is over."""
        limit = asyncio.timeout_at(self._deadline)
        try:
            async with limit:
                return await self._box.until_stopped(work)
        except TimeoutError as error:
            if limit.expired():
                raise _OutOfTime from error
            raise  # the work's own, a bug

    # --- models -----------------------------------------------------------------------------------------

    async def _ask(self, step: int) -> ModelResponse:
        request = ModelRequest(
            messages=build_context(
                self._brain.agent.instructions,
                self._loaded.history,
                self._lease.message,
                self._turn,
                history_chars=self._brain.agent.history_chars,
            ),
            tools=self._brain.tools.specs(self._lease.right),
            pin=self._lease.settings.model,
        )
        # The route itself asks again what may pass; a step is asked once.
        self._runner.note(self._lease, ModelIntent(step=step, route=request.route, pin=request.pin))
        return await self._limited(collect(self._brain.router, request, self._voice.hear))

    # --- tools ------------------------------------------------------------------------------------------

    async def _call(self, action: CallTool) -> ToolDone:
        """Call one tool, its intent committed first where a repeat would matter."""
        call, step = action.call, action.step
        effect = self._brain.tools.effect(call.name)
        if action.intent is not None and action.intent.effect == "once":
            # It may have happened; only a person or the model may decide what that means.
            text = say("tool_unknown", "en")
            return ToolDone(step=step, call_id=call.id, name=call.name, text=text, outcome="unknown")
        if effect != "pure" and action.intent is None:
            intent = ToolIntent(
                step=step, call_id=call.id, name=call.name, arguments=call.arguments, effect=effect
            )
            await self._runner.commit(self._lease, intent)
        self._tell(call.name, "started", call.arguments)
        began = self._runner.clock.monotonic()
        context = ToolContext(
            turn=self._lease.turn,
            step=step,
            address=self._lease.address,
            sender=self._lease.message.sender,
            clock=self._runner.clock,
        )
        work = self._brain.tools.call(call.name, call.arguments, context, self._lease.right)
        text, outcome = await self._limited(work)
        duration_s = self._runner.clock.monotonic() - began
        self._tell(call.name, outcome, text, duration_s)
        return ToolDone(
            step=step, call_id=call.id, name=call.name, text=text, outcome=outcome, duration_s=duration_s
        )

    def _tell(self, name: str, phase: str, summary: str, duration_s: float = 0.0) -> None:
        short = summary if len(summary) <= 200 else f"{summary[:199]}…"
        note = ToolNote(
            turn=self._lease.turn,
            name=name,
            phase="started" if phase == "started" else "ok" if phase == "ok" else "error",
            summary=short,
            duration_s=duration_s,
        )
        self._runner.publish_tool(self._lease, note)


def language_of(lease: Lease) -> str | None:
    """Return the language to speak in a conversation: chosen by /lang, else the sender's."""
    return lease.settings.language or lease.message.sender.language
