"""One attempt at one turn under a lease: the only place where a turn has effects.

Each effect is committed before it begins where a repeat would matter, and its result before anything
follows from it. `turn.advance` decides what is next; this file does it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from clawd.agent import ending as endings
from clawd.agent.asking import Asking, reserved
from clawd.agent.calling import Calling
from clawd.agent.choosing import Choice, beginning, choose, names_of
from clawd.agent.context import question
from clawd.agent.mailbox import Stopped
from clawd.agent.memory import Memory, tags_of
from clawd.agent.notices import of_question
from clawd.agent.offline import Whom
from clawd.agent.open_turn import OpenTurn
from clawd.agent.questions import word_on
from clawd.agent.reaching import Reaching, TurnWaits
from clawd.agent.settings import carry_out
from clawd.agent.skipping import skipped
from clawd.agent.turn import (
    AlreadyFinished,
    Answered,
    AskModel,
    CallTool,
    LimitReached,
    Limits,
    SkipCalls,
    advance,
    apply,
)
from clawd.agent.turn_messages import TurnMessages
from clawd.agent.turn_time import OutOfTime, TurnTime
from clawd.agent.undoing import asked_again, last_exchange
from clawd.agent.wish import Wish
from clawd.commands import ChooseLanguage, ChooseModel, Compact, NewSession, Retry, Undo, parse
from clawd.errors import ModelError, ModelUnknown
from clawd.journal.records import ModelResult, TurnsUndone, TurnWaiting
from clawd.models.base import collect
from clawd.texts import say

if TYPE_CHECKING:
    from typing import Literal, NoReturn

    from clawd.agent.brain import Brain
    from clawd.agent.mailbox import Box
    from clawd.agent.turn import Turn, Why
    from clawd.agent.workplace import Workplace
    from clawd.journal.base import Lease, Loaded, Snapshot
    from clawd.journal.records import Record, SummaryIntent
    from clawd.models.base import ModelRequest
    from clawd.response import ModelResponse


class Attempt:
    """One attempt at one turn."""

    def __init__(self, workplace: Workplace, brain: Brain, lease: Lease, loaded: Loaded, box: Box) -> None:
        self._workplace = workplace
        self._brain = brain
        self._box = box
        self._language = lease.language
        self._turn = OpenTurn(workplace.recorder, brain, lease, loaded)
        self._voice = workplace.recorder.voice(lease, self._turn.state.visible_text)
        self._time = TurnTime(brain.agent.max_turn_s, self._turn.state.worked_s, box)
        self._messages = TurnMessages(workplace, brain, self._turn, box, self._time)
        self._memory = Memory(
            self._turn,
            agent=brain.agent,
            windows=brain.windows,
            ask=self._ask_aside,
            reserve=lambda request: reserved(brain.router, request),
            shown=self._messages.shown,
        )
        self._asking = Asking(brain, self._turn, self._memory, self._time, self._voice)
        self._calling = Calling(workplace, brain, self._turn, self._time, wait_for_word=self._wait_for_word)
        self._wish = Wish(self._messages, lease, brain)
        self._reaching = Reaching(workplace, self._turn, brain, box, self._wish)

    @property
    def turn(self) -> Turn:
        """What is known of the turn by now."""
        return self._turn.state

    async def reach_end(self) -> endings.Ending | None:
        """Return how the turn ends; None when its end is recorded already, or it waits."""
        command = parse(self._turn.lease.message.text)
        match command:
            case NewSession() | ChooseModel() | ChooseLanguage() as command:
                brain = self._brain
                return carry_out(
                    command, self._turn.lease.settings, self._language, brain.models, brain.routes
                )
            case Undo():
                return self._undo()
            case Retry() if not await self._ask_again():
                return endings.command_done(say("nothing_to_retry", self._language))
            case _:
                pass
        if self.turn.was_offline:
            await self._wish.look()
        try:
            if isinstance(command, Compact):
                return await self._compact()
            await self._settle_question()
            await self._messages.give_way()
            await self._messages.open_files()
            return await self._go_on()
        except TurnWaits:
            return None
        except Stopped as stopped:
            return endings.stopped(self._voice.text, self._language, cause=stopped.cause)
        except OutOfTime:
            return self._limit("time")
        except ModelError as error:
            if not self._reaching.may_wait_for(error):
                return self._no_model(error)
            await self._reaching.wait(error)
            return None

    async def _go_on(self) -> endings.Ending | None:
        while True:
            match advance(self.turn, self._limits()):
                case AskModel(step=step, last=why) if why is not None:
                    return await self._ask_last(step, why)
                case AskModel(step=step):
                    await self._messages.take_in(step)
                    result = ModelResult(step=step, response=await self._ask(step))
                    if (ending := await self._take(result)) is not None:
                        return ending
                case CallTool() as action:
                    await self._turn.commit(await self._calling.call(action))
                case SkipCalls() as action:
                    await self._turn.commit(*skipped(action, self.turn.intents))
                case Answered() as answer:
                    return self._answered(answer)
                case LimitReached(why=why):
                    return self._limit(why)
                case AlreadyFinished():
                    return None

    async def _ask_last(self, step: int, why: Why) -> endings.Ending | None:
        """Ask for an answer with what there is; return the turn's end, whatever comes of it."""
        try:
            result = ModelResult(step=step, response=await self._ask(step, why), last=True)
        except ModelError as error:
            if self._reaching.may_wait_for(error):
                raise
            return self._limit(why, error)
        except OutOfTime:
            return self._limit(why)
        return await self._take(result)

    def _limits(self) -> Limits:
        agent = self._brain.agent
        return Limits(max_steps=agent.max_steps, max_usd=agent.max_turn_usd, late=self._time.late)

    async def _take(self, result: ModelResult) -> endings.Ending | None:
        """Take a model's answer in; return the turn's end if it is one."""
        answer = advance(apply(self.turn, result), self._limits())
        if isinstance(answer, Answered):
            # The answer, the turn's end and its deliveries are one commit.
            self._turn.learn(result)
            return self._answered(answer, result)
        await self._turn.commit(result)
        self._voice.commit(self.turn.visible_text)
        return None

    # --- ends ---------------------------------------------------------------------------------------------

    def _answered(self, answer: Answered, *records: Record) -> endings.Ending:
        """Return the end with the answer, and beside it what else its reader should know."""
        ending = endings.answered(answer, self._language, records=records)
        attempts = [attempt for result in self.turn.responses for attempt in result.response.attempts]
        notices, right = self._workplace.notices, self._turn.lease.right
        lines = of_question(self._choice(), self._memory.question_cut, self._language)
        lines += notices.of_keys(attempts, right, self._language)
        if (notice := self._brain.notice) is not None:
            room, now = notice(tags_of(self._turn.lease)), self._workplace.clock.now()
            lines += notices.of_budget(room, right, self._language, now)
        return replace(ending, notice="\n\n".join(lines))

    def _limit(self, why: Why, error: ModelError | None = None) -> endings.Ending:
        return endings.limit_reached(why, self._brain.agent, self._voice.text, self._language, error=error)

    def _no_model(self, error: ModelError) -> endings.Ending:
        right, visible = self._turn.lease.right, self.turn.visible_text
        ending = endings.no_model(error, self._language, right, visible=visible)
        if self._turn.lease.address.pulls:
            return ending  # its client shows an operator what went wrong by itself
        lines = self._workplace.notices.of_error(error, right, self._language)
        return replace(ending, notice="\n\n".join(lines))

    # --- messages -----------------------------------------------------------------------------------------

    async def _ask_again(self) -> bool:
        """Undo the last exchange, to ask its message again; False when there is none."""
        if self.turn.undone is None:
            past = last_exchange(self._turn.loaded.history)
            if past is None:
                return False
            await self._turn.commit(TurnsUndone(seqs=(past.seq,), again=past.seq))
        return True

    def _undo(self) -> endings.Ending:
        past = last_exchange(self._turn.loaded.history)
        if past is None:
            return endings.command_done(say("nothing_to_undo", self._language))
        asked = asked_again(self._turn.loaded.history, past.seq)
        text = (asked or past).message.text
        short = text if len(text) <= 80 else f"{text[:79]}…"
        return endings.command_done(say("undone", self._language, text=short), TurnsUndone(seqs=(past.seq,)))

    # --- people -------------------------------------------------------------------------------------------

    async def _settle_question(self) -> None:
        """Commit the word that an open question waited for; raises TurnWaits while there is none."""
        waiting = self.turn.waiting
        if waiting is None:
            return
        self._box.check()
        lease, behind = self._turn.lease, await self._messages.behind()
        records = word_on(waiting, lease, self._turn.loaded.controls, behind)
        if not records:
            await self._workplace.recorder.wait_on(lease, waiting)
            raise TurnWaits
        await self._turn.commit(*records)
        self._messages.add(behind, self.turn.merged)

    async def _wait_for_word(
        self, action: CallTool, about: Literal["approval", "unknown"], subject: str
    ) -> NoReturn:
        """Ask a person, and end the lease; raises TurnWaits."""
        visible = self.turn.visible_text
        timeout = timedelta(seconds=self._brain.asking.approval_timeout_s)
        waiting = TurnWaiting(
            step=action.step,
            about=about,
            name=action.call.name,
            subject=subject,
            deadline=self._workplace.clock.now() + timeout,
            told=len(visible),
        )
        untold = visible[self.turn.told :].strip()
        await self._workplace.recorder.ask(self._turn.lease, waiting, untold)
        raise TurnWaits

    # --- models -------------------------------------------------------------------------------------------

    def _choice(self) -> Choice:
        """Return whom this turn asks: the same in all of its steps, and after a crash."""
        undone = self.turn.undone
        again = asked_again(self._turn.loaded.history, undone.again) if undone is not None else None
        asked = question(self._turn.lease.message, again)
        messages = beginning(asked, self.turn, self._messages.merged)
        return choose(messages, self._wish.settings, self._brain.routes, self._brain.models)

    def _who(self) -> Choice:
        """Return the same; raises ModelUnknown where the only one that may answer is gone."""
        choice = self._choice()
        if choice.gone is not None and choice.pin is not None:
            known = ", ".join(names_of(self._brain.models, self._brain.routes))
            raise ModelUnknown(choice.gone, why=f"models and routes are {known}")
        return choice

    async def _ask(self, step: int, last: Why | None = None) -> ModelResponse:
        merged, who = self._messages.merged, self._who()
        if self._workplace.outage.misses(whom_of(who)):
            await self._wish.look()
            who = self._who()
        return await self._reaching.ask(whom_of(who), lambda: self._asking.ask(step, merged, who, last=last))

    async def _ask_aside(self, request: ModelRequest, intent: SummaryIntent) -> ModelResponse:
        """Ask a model for something that nobody is shown."""

        async def ask() -> ModelResponse:
            self._turn.note(
                intent
            )  # not before it is sure that somebody is asked: it says what that may cost
            return await self._time.limited(collect(self._brain.router, request))

        return await self._reaching.ask(Whom(request.route, request.pin, request.strict), ask)

    async def _compact(self) -> endings.Ending:
        messages = await self._memory.compact(self._who())
        if messages is None:
            return endings.command_done(say("nothing_to_compact", self._language))
        return endings.command_done(say("compacted", self._language, messages=messages))

    def snapshot(self) -> Snapshot | None:
        """Return what later turns of the session could begin with; None when that is not due."""
        return self._memory.snapshot()


def whom_of(choice: Choice) -> Whom:
    """Return the models that a choice comes down to."""
    return Whom(choice.route, choice.pin, choice.strict)
