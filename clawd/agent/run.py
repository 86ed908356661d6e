"""A turn from its claim to its committed end, its questions and its deliveries included."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from clawd.agent import ending as endings
from clawd.agent import events
from clawd.agent.attempt import Attempt, language_of
from clawd.agent.notices import Notices
from clawd.agent.offline import Outage
from clawd.agent.questions import choices, wording
from clawd.agent.voice import Voice
from clawd.alarms import GivenUp
from clawd.errors import JournalUnavailable
from clawd.fanout import Asked, Ended, HandedBack, Held, Started, ToolNote
from clawd.ids import question_id, to_ms
from clawd.journal.base import OpenQuestion
from clawd.journal.deliveries import NewDelivery
from clawd.journal.records import ToolDone, TurnFinished
from clawd.observability.counts import Counts
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.agent.events import AppEvents
    from clawd.agent.files import Shelf
    from clawd.agent.mailbox import Mailbox
    from clawd.agent.turn import Turn
    from clawd.alarms import Alarms
    from clawd.config.schema import AgentConfig, RouteConfig, ToolsConfig
    from clawd.fanout import Fanout
    from clawd.ids import Clock, TurnId
    from clawd.journal.base import Journal, Lease, Queued, Snapshot
    from clawd.journal.records import Record, TurnOffline, TurnWaiting
    from clawd.journal.search import History
    from clawd.messages import Address, Part
    from clawd.models.base import RequestTags, Room, RoutedProvider
    from clawd.models.windows import Windows
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
    router: RoutedProvider
    models: tuple[str, ...]  # the default route's first
    routes: Mapping[str, RouteConfig]  # those of the configuration, in its order
    tools: Toolbox
    asking: ToolsConfig  # what becomes of calls that need a person
    windows: Windows  # how much a request may hold
    # Which budget comes to its end, to be told to the person of these tags; None: nobody keeps one.
    notice: Callable[[RequestTags], Room | None] | None = None


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
        alarms: Alarms,
        shelf: Shelf,
        outage: Outage | None = None,
        connected: Callable[[], Collection[str]] = tuple,
        history: History | None = None,
        app_events: AppEvents = lambda _: (),
        counts: Counts | None = None,
    ) -> None:
        self._journal = journal
        self._fanout = fanout
        self._mailbox = mailbox
        self._clock = clock
        self._brain = brain
        self._split = split
        self._alarms = alarms
        self._app_events = app_events
        self._counts = counts or Counts()
        self.shelf = shelf
        """Where files are found."""
        self.outage = outage if outage is not None else Outage(journal, clock)
        """What is known of the network."""
        self._connected = connected  # names of the bridges that are known to work now
        self._snapshots: dict[TurnId, Snapshot] = {}  # of turns that just ended
        self.notices = Notices()
        """What owners have been told, and what they are still to be told."""
        self.history = history
        """Searches what was said; None where nothing does."""

    async def run(self, lease: Lease) -> None:
        """Bring the turn to its end and commit it.

        Raises:
            Fenced: somebody else owns the conversation now.
            JournalError: the journal is broken or the turn's rows can't be read.
        """
        brain = self._brain()
        interruptible = brain.agent.busy == "interrupt"
        with self._mailbox.open(lease, interruptible=interruptible) as box:
            self._fanout.publish(lease.address, Started(lease=lease))
            if lease.attempts > brain.agent.max_attempts:
                await self.finish(lease, endings.dead(lease.attempts - 1, language_of(lease)), whole=True)
                return
            loaded = await self._journal.load(lease)
            if any(control.kind == "stop" for control in loaded.controls):
                box.stop()
            attempt = Attempt(self, brain, lease, loaded, box)
            ending = await attempt.reach_end()
            if ending is not None:
                await self.finish(lease, ending, turn=attempt.turn)
                if (snapshot := attempt.snapshot()) is not None:
                    self._snapshots[lease.turn] = snapshot

    async def tidy(self, lease: Lease) -> None:
        """Do what can wait until the turn is over and its reply on its way; lost, it is done another time."""
        if (snapshot := self._snapshots.pop(lease.turn, None)) is not None:
            await self._journal.snapshot(lease, snapshot)

    async def finish(
        self, lease: Lease, ending: endings.Ending, *, turn: Turn | None = None, whole: bool = False
    ) -> None:
        """Commit the end of the turn together with its deliveries, then tell who watches.

        Args:
            lease: Ends with the commit.
            ending: What is committed.
            turn: What is known of the turn; None where it was not looked at.
            whole: Send the text as one part: for our own short sentences where cutting may be what failed.
        """
        merged = turn.merged if turn is not None else lease.merged
        finished = TurnFinished(
            outcome=ending.outcome,
            text=ending.text,
            answers=(lease.seq, *merged),
            model=ending.model,
            error=ending.error,
            exit_code=ending.exit_code,
            attempts=ending.attempts,
            passed_over=ending.passed_over,
            notice=ending.notice,
        )
        deliveries = self._deliveries(lease, ending, turn, whole=whole)
        await self.commit(lease, *ending.records, finished, outbox=deliveries, done=True)
        self._counts.turn_s.add(max(0, to_ms(self._clock.now()) - lease.accepted_at_ms) / 1000)
        self._counts.turns.add(ending.outcome)
        self._fanout.publish(
            lease.address,
            Ended(
                turn=lease.turn,
                outcome=ending.outcome,
                text=ending.text,
                model=ending.model,
                exit_code=ending.exit_code,
                notice=ending.notice,
            ),
        )
        extra = {"outcome": ending.outcome, "model": ending.model, "error": ending.error}
        log.info("turn_finished", extra=extra)
        if ending.outcome == "dead":
            bridge, why = lease.address.bridge, ending.error or ""
            self._alarms.given_up(GivenUp(id=lease.turn, bridge=bridge, conversation=lease.address, why=why))

    async def commit(
        self, lease: Lease, *records: Record, outbox: Sequence[NewDelivery] = (), done: bool = False
    ) -> None:
        """Record, waiting out a full or locked disk: an answer that was paid for is not thrown away."""
        await self.patiently(lease, lambda: self._journal.record(lease, *records, outbox=outbox, done=done))

    async def patiently(self, lease: Lease, write: Callable[[], Awaitable[T]]) -> T:
        """Return what `write` returns, called until the disk takes it."""
        pauses = iter(PAUSE_S)
        told = False
        while True:
            try:
                return await write()
            except JournalUnavailable as error:
                log.warning("turn_paused", extra={"error": str(error)})
                if not told:  # once: who watches sees by itself when it goes on
                    self._fanout.publish(lease.address, Held(turn=lease.turn, why=error.why or error.what))
                    told = True
                await self._clock.sleep(next(pauses, PAUSE_S[-1]))

    async def ask(self, lease: Lease, waiting: TurnWaiting, untold: str, language: str | None) -> None:
        """Commit that the turn waits, together with the question's delivery; the lease ends with it.

        Args:
            lease: Ends with the commit.
            waiting: What is asked.
            untold: Visible text that was not delivered before; goes out in front of the question.
            language: The language to ask in.
        """
        question = self._question(lease, waiting)
        texts: list[str] = []
        if not lease.address.pulls:
            said = self._split(lease.address, untold) if untold else ()
            texts = [*said, *self._split(lease.address, wording(waiting, language))]
        parts = [NewDelivery(part=n, parts=len(texts), text=text) for n, text in enumerate(texts)]
        if lease.address.pulls:
            parts += events.of_question(lease, question, self._clock.now(), self._app_events)
        elif parts:
            parts[-1] = replace(parts[-1], kind="question", question=question.id, choices=choices(language))
        await self.commit(lease, waiting, outbox=parts)
        self._fanout.publish(lease.address, Asked(turn=lease.turn, question=question))
        log.info("turn_waiting", extra={"tool": waiting.name, "about": waiting.about})

    async def wait_on(self, lease: Lease, waiting: TurnWaiting) -> None:
        """Let a turn wait further that was woken for nothing; nobody is asked again, who watches is told."""
        await self.commit(lease, waiting)
        self._fanout.publish(lease.address, Asked(turn=lease.turn, question=self._question(lease, waiting)))

    async def wait_for_network(self, lease: Lease, waiting: TurnOffline, *, first: bool) -> None:
        """Commit that the turn waits for the network; the lease ends with it.

        The user is told the first time, and only where that can arrive now: in a chat that is out of reach as well
        the words would come together with the answer.
        """
        told = first and not lease.address.pulls and lease.address.bridge in self._connected()
        text = say("offline", language_of(lease))
        parts = [NewDelivery(part=0, parts=1, text=text, kind="failed")] if told else []
        await self.commit(lease, waiting, outbox=parts)
        self._fanout.publish(lease.address, HandedBack(turn=lease.turn, why="offline"))
        if first:
            log.info(
                "turn_offline", extra={"turn": lease.turn, "until": waiting.until, "error": waiting.error}
            )

    def _question(self, lease: Lease, waiting: TurnWaiting) -> OpenQuestion:
        return OpenQuestion(
            id=question_id(self._journal.instance, lease.conv, lease.seq, waiting.step),
            turn=lease.turn,
            conversation=lease.address,
            asker=lease.message.sender,
            about=waiting.about,
            tool=waiting.name,
            subject=waiting.subject,
            asked_at=self._clock.now(),
            deadline=waiting.deadline,
        )

    async def keep_parts(self, lease: Lease, seq: int, parts: tuple[Part, ...]) -> None:
        """Commit that a message names stored files now, waiting out a full or locked disk."""
        await self.patiently(lease, lambda: self._journal.replace_parts(lease, seq, parts))

    async def behind(self, lease: Lease) -> Sequence[Queued]:
        """Return the messages queued right behind the turn."""
        return await self._journal.behind(lease)

    def _deliveries(
        self, lease: Lease, ending: endings.Ending, turn: Turn | None, *, whole: bool
    ) -> tuple[NewDelivery, ...]:
        if lease.address.pulls:
            return events.of_end(lease, ending, self._clock.now(), self._app_events)
        text = ending.text if turn is None else untold(ending.text, turn)
        if ending.notice:
            text = f"{text}\n\n{ending.notice}"
        parts = [text] if whole else self._split(lease.address, text)
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

    def tell_call(self, lease: Lease, name: str, phase: str, summary: str, duration_s: float = 0.0) -> None:
        """Show that a tool call began, or how it ended."""
        note = ToolNote(
            turn=lease.turn,
            name=name,
            phase="started" if phase == "started" else "ok" if phase == "ok" else "error",
            summary=summary if len(summary) <= 200 else f"{summary[:199]}…",
            duration_s=duration_s,
        )
        self._fanout.publish(lease.address, note)

    def count_call(self, brain: Brain, done: ToolDone) -> None:
        """Count a call that is committed; a name that the model made up is counted as `other`."""
        self._counts.tools.add(done.name if done.name in brain.tools else "other", done.outcome)

    def note(self, lease: Lease, intent: Record) -> None:
        """Queue the intent of a model call; nobody waits for its commit."""
        self._journal.note(lease, intent)

    def voice(self, lease: Lease, committed: str) -> Voice:
        """Return the visible text of an attempt that begins behind `committed`."""
        return Voice(self._fanout, lease, committed)


def untold(text: str, turn: Turn) -> str:
    """Return what of a text was not delivered yet, in front of a question; all of it where nothing is left."""
    told = turn.visible_text[: turn.told]
    rest = text.removeprefix(told).strip() if told else text
    return rest or text
