"""How a turn is written: its records, its questions and its end, each with what goes out with it, and who is told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from clawd.agent import events, outgoing
from clawd.agent.voice import Voice
from clawd.alarms import GivenUp
from clawd.errors import JournalUnavailable
from clawd.fanout import Asked, Ended, HandedBack, Held, ToolNote
from clawd.ids import question_id, to_ms
from clawd.journal.base import OpenQuestion
from clawd.journal.records import ToolDone, TurnFinished
from clawd.observability.counts import Counts

if TYPE_CHECKING:
    from clawd.agent.brain import Brain
    from clawd.agent.ending import Ending
    from clawd.agent.events import AppEvents
    from clawd.agent.outgoing import Split
    from clawd.agent.turn import Turn
    from clawd.alarms import Alarms
    from clawd.fanout import Fanout
    from clawd.ids import Clock
    from clawd.journal.base import Journal, Lease, Queued
    from clawd.journal.deliveries import NewDelivery
    from clawd.journal.records import Record, TurnOffline, TurnWaiting
    from clawd.messages import Part

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE_S: Final = (0.5, 1.0, 2.0, 5.0)  # between attempts to commit while the disk is full or locked


class Recorder:
    """Commits what becomes of turns, waiting out a full or locked disk, and tells those who watch.

    Args:
        journal: Takes it.
        fanout: Tells it.
        clock: For pauses, and for the times of what is written.
        split: Cuts replies.
        alarms: Hears of turns that are given up.
        connected: Names the bridges that are known to work now.
        app_events: Of which events an app is told.
        counts: Counts turns and calls.
    """

    def __init__(
        self,
        journal: Journal,
        fanout: Fanout,
        clock: Clock,
        *,
        split: Split,
        alarms: Alarms,
        connected: Callable[[], Collection[str]] = tuple,
        app_events: AppEvents = lambda _: (),
        counts: Counts | None = None,
    ) -> None:
        self._journal = journal
        self._fanout = fanout
        self._clock = clock
        self._split = split
        self._alarms = alarms
        self._connected = connected
        self._app_events = app_events
        self._counts = counts or Counts()

    # --- records ----------------------------------------------------------------------------------------

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

    def note(self, lease: Lease, intent: Record) -> None:
        """Queue the intent of a model call; nobody waits for its commit."""
        self._journal.note(lease, intent)

    async def keep_parts(self, lease: Lease, seq: int, parts: tuple[Part, ...]) -> None:
        """Commit that a message names stored files now, waiting out a full or locked disk."""
        await self.patiently(lease, lambda: self._journal.replace_parts(lease, seq, parts))

    async def behind(self, lease: Lease) -> Sequence[Queued]:
        """Return the messages queued right behind the turn."""
        return await self._journal.behind(lease)

    # --- what ends the lease ----------------------------------------------------------------------------

    async def finish(
        self,
        lease: Lease,
        ending: Ending,
        *,
        turn: Turn | None = None,
        waited_s: float = 0.0,
        whole: bool = False,
    ) -> None:
        """Commit the end of the turn together with its deliveries, then tell who watches.

        Args:
            lease: Ends with the commit.
            ending: What is committed.
            turn: What is known of the turn; None where it was not looked at.
            waited_s: For how long it waited for a person, or for the network: that does not count as its time.
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
        if lease.address.pulls:
            deliveries = events.of_end(lease, ending, self._clock.now(), self._app_events)
        else:
            deliveries = outgoing.of_end(lease, ending, turn, self._split, whole=whole)
        await self.commit(lease, *ending.records, finished, outbox=deliveries, done=True)
        took_s = (to_ms(self._clock.now()) - lease.accepted_at_ms) / 1000 - waited_s
        self._counts.turn_s.add(max(0.0, took_s))
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

    async def ask(self, lease: Lease, waiting: TurnWaiting, untold: str) -> None:
        """Commit that the turn waits, together with the question's delivery; the lease ends with it.

        Args:
            lease: Ends with the commit.
            waiting: What is asked.
            untold: Visible text that was not delivered before; goes out in front of the question.
        """
        question = self._question(lease, waiting)
        if lease.address.pulls:
            parts = events.of_question(lease, question, self._clock.now(), self._app_events)
        else:
            parts = outgoing.of_question(lease, waiting, question.id, untold, self._split)
        await self.commit(lease, waiting, outbox=parts)
        self._fanout.publish(lease.address, Asked(turn=lease.turn, question=question))
        log.info("turn_waiting", extra={"tool": waiting.name, "about": waiting.about})

    async def wait_on(self, lease: Lease, waiting: TurnWaiting) -> None:
        """Let a turn wait further that was woken for nothing; nobody is asked again, who watches is told."""
        await self.commit(lease, waiting)
        self._fanout.publish(lease.address, Asked(turn=lease.turn, question=self._question(lease, waiting)))

    async def wait_for_network(
        self, lease: Lease, waiting: TurnOffline, *, first: bool, others: Sequence[str]
    ) -> None:
        """Commit that the turn waits for the network; the lease ends with it.

        The user is told the first time, and only where that can arrive now: in a chat that is out of reach as well
        the words would come together with the answer. `others` are models that they may choose meanwhile.
        """
        told = first and not lease.address.pulls and lease.address.bridge in self._connected()
        await self.commit(lease, waiting, outbox=outgoing.of_outage(lease, others) if told else ())
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

    # --- what is only shown and counted -----------------------------------------------------------------

    def voice(self, lease: Lease, committed: str) -> Voice:
        """Return the visible text of an attempt that begins behind `committed`."""
        return Voice(self._fanout, lease, committed)

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
