"""One attempt at one turn under a lease: the only place where a turn has effects.

Each effect is committed before it begins where a repeat would matter, and its result before anything
follows from it. `turn.advance` decides what is next; this file does it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from clawd.agent import ending as endings
from clawd.agent.asking import Asking, reserved
from clawd.agent.calling import Calling, OutOfTime
from clawd.agent.choosing import Choice, beginning, choose, names_of
from clawd.agent.context import question
from clawd.agent.files import TurnFiles
from clawd.agent.mailbox import Stopped, takes_place_of
from clawd.agent.memory import Memory, tags_of
from clawd.agent.merging import followers, pieces
from clawd.agent.notices import of_question
from clawd.agent.offline import Whom
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
    fold,
)
from clawd.agent.undoing import asked_again, last_exchange
from clawd.commands import ChooseLanguage, ChooseModel, Compact, NewSession, Retry, Undo, parse
from clawd.errors import (
    ModelError,
    ModelUnknown,
)
from clawd.journal.records import (
    ModelResult,
    PatternAllowed,
    ToolDone,
    TurnMerged,
    TurnsUndone,
    TurnWaiting,
)
from clawd.messages import Text
from clawd.models.base import collect
from clawd.models.routing import prefix_remover
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Literal, NoReturn

    from clawd.agent.mailbox import Box
    from clawd.agent.run import Brain, TurnRunner
    from clawd.agent.turn import Turn, Why
    from clawd.journal.base import Lease, Loaded, Snapshot
    from clawd.journal.records import Record
    from clawd.messages import InboundMessage
    from clawd.models.base import ModelRequest
    from clawd.response import ModelResponse

T = TypeVar("T")

_LAST_ANSWER_SHARE: Final = 0.1  # of `agent.max_turn_s`, kept free for a last answer …
_LAST_ANSWER_S: Final = 90.0  # … up to so much


class Attempt:
    """One attempt at one turn."""

    def __init__(self, runner: TurnRunner, brain: Brain, lease: Lease, loaded: Loaded, box: Box) -> None:
        self._runner = runner
        self._brain = brain
        self._lease = lease
        self._loaded = loaded
        self._box = box
        self._language = language_of(lease)
        self._merged = {queued.seq: queued for queued in loaded.merged}
        self._allowed = set(lease.settings.allowed)
        self.turn: Turn = fold(loaded.records)
        """What is known of the turn by now."""
        self._voice = runner.voice(lease, self.turn.visible_text)
        # What was worked before a crash, or before a question to a person, counts; the waiting does not.
        limit_s = brain.agent.max_turn_s
        self._deadline = asyncio.get_running_loop().time() + max(0.0, limit_s - self.turn.worked_s)
        self._late_at = self._deadline - min(_LAST_ANSWER_S, limit_s * _LAST_ANSWER_SHARE)
        self._files = TurnFiles(runner.shelf)
        without_prefix = prefix_remover(brain.routes)
        self._memory = Memory(
            lease,
            loaded,
            agent=brain.agent,
            windows=brain.windows,
            ask=self._ask_aside,
            commit=self._commit,
            note=self._note,
            reserve=lambda request: reserved(brain.router, request),
            shown=lambda message: self._files.shown(without_prefix(message)),
        )
        self._asking = Asking(
            brain.router,
            self._memory,
            note=self._note,
            limited=self._limited,
            voice=self._voice,
            max_usd=brain.agent.max_turn_usd,
        )
        self._calling = Calling(
            runner,
            brain,
            lease,
            allowed=self._allowed,
            commit=self._commit,
            limited=lambda work: self._limited(work, self._late_at),
            wait_for_word=self._wait_for_word,
        )
        box.arrived |= lease.waiting > 0
        self._reaching = Reaching(runner, lease, brain.agent, box, lambda: self.turn)

    async def reach_end(self) -> endings.Ending | None:
        """Return how the turn ends; None when its end is recorded already, or it waits."""
        command = parse(self._lease.message.text)
        match command:
            case NewSession() | ChooseModel() | ChooseLanguage() as command:
                brain = self._brain
                return carry_out(command, self._lease.settings, self._language, brain.models, brain.routes)
            case Undo():
                return self._undo()
            case Retry() if not await self._ask_again():
                return endings.command_done(say("nothing_to_retry", self._language))
            case _:
                pass
        try:
            if isinstance(command, Compact):
                return await self._compact()
            await self._settle_question()
            await self._look_behind()
            await self._open_files()
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
                    await self._take_in(step)
                    result = ModelResult(step=step, response=await self._ask(step))
                    if (ending := await self._take(result)) is not None:
                        return ending
                case CallTool() as action:
                    await self._commit(await self._calling.call(action))
                case SkipCalls() as action:
                    await self._commit(*skipped(action, self.turn.intents))
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
        late = asyncio.get_running_loop().time() >= self._late_at
        return Limits(max_steps=agent.max_steps, max_usd=agent.max_turn_usd, late=late)

    async def _take(self, result: ModelResult) -> endings.Ending | None:
        """Take a model's answer in; return the turn's end if it is one."""
        self.turn = apply(self.turn, result)
        answer = advance(self.turn, self._limits())
        if isinstance(answer, Answered):
            # The answer, the turn's end and its deliveries are one commit.
            return self._answered(answer, result)
        await self._runner.commit(self._lease, result)
        self._voice.commit(self.turn.visible_text)
        return None

    # --- ends ---------------------------------------------------------------------------------------------

    def _answered(self, answer: Answered, *records: Record) -> endings.Ending:
        """Return the end with the answer, and beside it what else its reader should know."""
        ending = endings.answered(answer, self._language, records=records)
        attempts = [attempt for result in self.turn.responses for attempt in result.response.attempts]
        notices, right = self._runner.notices, self._lease.right
        lines = of_question(self._choice(), self._memory.question_cut, self._language)
        lines += notices.of_keys(attempts, right, self._language)
        if (notice := self._brain.notice) is not None:
            room, now = notice(tags_of(self._lease)), self._runner.clock.now()
            lines += notices.of_budget(room, right, self._language, now)
        return replace(ending, notice="\n\n".join(lines))

    def _limit(self, why: Why, error: ModelError | None = None) -> endings.Ending:
        return endings.limit_reached(why, self._brain.agent, self._voice.text, self._language, error=error)

    def _no_model(self, error: ModelError) -> endings.Ending:
        right, visible = self._lease.right, self.turn.visible_text
        ending = endings.no_model(error, self._language, right, visible=visible)
        if self._lease.address.pulls:
            return ending  # its client shows an operator what went wrong by itself
        lines = self._runner.notices.of_error(error, right, self._language)
        return replace(ending, notice="\n\n".join(lines))

    # --- the journal --------------------------------------------------------------------------------------

    def _note(self, record: Record) -> None:
        self._runner.note(self._lease, record)

    async def _commit(self, *records: Record) -> None:
        await self._runner.commit(self._lease, *records)
        for record in records:
            self.turn = apply(self.turn, record)
            if isinstance(record, PatternAllowed):
                self._allowed.add(record.pattern)
            elif isinstance(record, ToolDone):
                self._runner.count_call(self._brain, record)

    async def _limited(self, work: Coroutine[None, None, T], until: float | None = None) -> T:
        """Return what `work` returns; raises Stopped, or OutOfTime where the turn's own limit is over.

        `until` is by the loop's clock; None: until nothing is left.
        """
        limit = asyncio.timeout_at(self._deadline if until is None else until)
        try:
            async with limit:
                return await self._box.until_stopped(work)
        except TimeoutError as error:
            if limit.expired():
                raise OutOfTime from error
            raise  # the work's own, a bug

    # --- messages -----------------------------------------------------------------------------------------

    async def _look_behind(self) -> None:
        """Let a newer message of the asker take the turn's place, also one that came while nobody worked."""
        if self._brain.agent.busy != "interrupt" or self._lease.waiting == 0:
            return
        behind = await self._runner.behind(self._lease)
        rest = pieces(self._lease.message, behind)
        if any(q.seq not in rest and takes_place_of(q.message, self._lease) for q in behind):
            self._box.stop("superseded")
            self._box.check()

    async def _take_in(self, step: int) -> None:
        """Merge what belongs to this turn: the rest of a message in pieces, or what steers it."""
        steers = self._brain.agent.busy == "steer"
        in_pieces = not self.turn.responses and self._newest().piece_of is not None
        if not self._box.arrived or not (in_pieces or steers):
            return  # without a look into the journal: most messages are whole
        self._box.arrived = False
        behind = await self._runner.behind(self._lease)
        seqs = followers(self._lease, behind) if steers else pieces(self._newest(), behind)
        if seqs:
            await self._commit(TurnMerged(step=step, seqs=seqs))
            self._merged |= {queued.seq: queued for queued in behind if queued.seq in seqs}
            await self._open_files()

    async def _open_files(self) -> None:
        """Fetch the files that the turn's messages name at their platform, and read what a model is shown of them."""
        own = self._lease.message
        if (message := await self._fetched(self._lease.seq, own)) is not own:
            self._lease = replace(self._lease, message=message)
            self._memory.see(message)
        for seq, queued in self._merged.items():
            if (message := await self._fetched(seq, queued.message)) is not queued.message:
                self._merged[seq] = replace(queued, message=message)
        past = [m for t in self._loaded.history for m in (t.message, *(q.message for q in t.merged))]
        await self._files.load([*past, self._lease.message, *(q.message for q in self._merged.values())])

    async def _fetched(self, seq: int, message: InboundMessage) -> InboundMessage:
        """Return the message with its files stored and committed; the same one where it names none to fetch."""
        if all(isinstance(part, Text) for part in message.parts):
            return message
        loop = asyncio.get_running_loop()
        left_s = self._deadline - loop.time()

        async def fetch() -> InboundMessage:
            paused_s = max(0.0, loop.time() + left_s - self._deadline)  # a full disk costs the turn no time
            self._deadline += paused_s
            self._late_at += paused_s
            return await self._limited(self._files.fetched(message))

        fetched = await self._runner.patiently(self._lease, fetch)
        if fetched.parts == message.parts:
            return message
        await self._runner.keep_parts(self._lease, seq, fetched.parts)
        return fetched

    def _newest(self) -> InboundMessage:
        """Return the last message that is part of the turn."""
        merged = self.turn.merged
        return self._merged[merged[-1]].message if merged else self._lease.message

    async def _ask_again(self) -> bool:
        """Undo the last exchange, to ask its message again; False when there is none."""
        if self.turn.undone is None:
            past = last_exchange(self._loaded.history)
            if past is None:
                return False
            await self._commit(TurnsUndone(seqs=(past.seq,), again=past.seq))
        return True

    def _undo(self) -> endings.Ending:
        past = last_exchange(self._loaded.history)
        if past is None:
            return endings.command_done(say("nothing_to_undo", self._language))
        asked = asked_again(self._loaded.history, past.seq)
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
        behind = await self._runner.behind(self._lease)
        records = word_on(waiting, self._lease, self._loaded.controls, behind)
        if not records:
            await self._runner.wait_on(self._lease, waiting)
            raise TurnWaits
        await self._commit(*records)
        merged = self.turn.merged
        self._merged |= {queued.seq: queued for queued in behind if queued.seq in merged}

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
            deadline=self._runner.clock.now() + timeout,
            told=len(visible),
        )
        await self._runner.ask(self._lease, waiting, visible[self.turn.told :].strip(), self._language)
        raise TurnWaits

    # --- models -------------------------------------------------------------------------------------------

    def _choice(self) -> Choice:
        """Return whom this turn asks: the same in all of its steps, and after a crash."""
        undone = self.turn.undone
        again = asked_again(self._loaded.history, undone.again) if undone is not None else None
        merged = {seq: queued.message for seq, queued in self._merged.items()}
        messages = beginning(question(self._lease.message, again), self.turn, merged)
        return choose(messages, self._lease.settings, self._brain.routes, self._brain.models)

    def _who(self) -> Choice:
        """Return the same; raises ModelUnknown where the only one that may answer is gone."""
        choice = self._choice()
        if choice.gone is not None and choice.pin is not None:
            known = ", ".join(names_of(self._brain.models, self._brain.routes))
            raise ModelUnknown(choice.gone, why=f"models and routes are {known}")
        return choice

    async def _ask(self, step: int, last: Why | None = None) -> ModelResponse:
        merged = {seq: queued.message for seq, queued in self._merged.items()}
        tools = self._brain.tools.specs(self._lease.right)
        who = self._who()
        whom = Whom(who.route, who.pin, who.strict)
        return await self._reaching.ask(
            whom, lambda: self._asking.ask(step, self.turn, merged, who, tools, last=last)
        )

    async def _ask_aside(self, request: ModelRequest) -> ModelResponse:
        """Ask a model for something that nobody is shown."""
        whom = Whom(request.route, request.pin, request.strict)
        return await self._reaching.ask(whom, lambda: self._limited(collect(self._brain.router, request)))

    async def _compact(self) -> endings.Ending:
        messages = await self._memory.compact(self.turn, self._who())
        if messages is None:
            return endings.command_done(say("nothing_to_compact", self._language))
        return endings.command_done(say("compacted", self._language, messages=messages))

    def snapshot(self) -> Snapshot | None:
        """Return what later turns of the session could begin with; None when that is not due."""
        return self._memory.snapshot()


def language_of(lease: Lease) -> str | None:
    """Return the language to speak in a conversation: chosen by /lang, else the sender's."""
    return lease.settings.language or lease.message.sender.language
