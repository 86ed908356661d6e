"""The only door in: access, rate, message or control, commit, wake.

Everything that reaches clawd goes through `DurableInbox.accept`, whichever bridge, gateway or terminal it
came from. `Admission` says what each event leads to; when `accept` returns, that and the bridge's cursor are
committed together.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal

from clawd.alarms import GivenUp
from clawd.errors import JournalError, JournalUnavailable
from clawd.fanout import Arrived
from clawd.journal.items import AdmittedControl, Push, Pushed, Stored
from clawd.messages import (
    Accepted,
    AcceptResult,
    Duplicate,
    Edited,
    InboundControl,
    InboundMessage,
    MessageId,
    Refused,
    Replied,
    Unreadable,
)
from clawd.observability.about import learned
from clawd.observability.counts import Counts
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clawd.admission import Admission, Plan
    from clawd.alarms import Alarms
    from clawd.fanout import Fanout
    from clawd.ids import TurnId
    from clawd.journal.base import Journal
    from clawd.messages import Cursor, Inbound

log = logging.getLogger(__name__)


class DurableInbox:
    """The inbox over a journal; implements `clawd.bridge.Inbox`.

    Args:
        journal: Commits.
        admission: Says what each event leads to.
        fanout: Tells that a message came.
        on_stop: Stops a turn that runs.
        on_message: Tells the turn in work of a message behind it.
        alarms: Hears of what could not be read.
        counts: Counts what is accepted.
    """

    def __init__(
        self,
        journal: Journal,
        admission: Admission,
        fanout: Fanout,
        *,
        on_stop: Callable[[TurnId], None],
        on_message: Callable[[InboundMessage], None],
        alarms: Alarms,
        counts: Counts | None = None,
    ) -> None:
        self._journal = journal
        self._admission = admission
        self._fanout = fanout
        self._on_stop = on_stop
        self._on_message = on_message
        self._alarms = alarms
        self._counts = counts or Counts()

    async def cursor(self, key: str) -> str | None:
        """Return the last committed value of a bridge's cursor."""
        return await self._journal.cursor(key)

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        """Return once batch and cursor are committed together; see `clawd.bridge.Inbox`."""
        plans: list[Plan] = []
        try:
            for event in batch:
                plans.append(await self._admission.plan(event))  # noqa: PERF401 - those made so far count if one fails
            items = [plan.item for plan in plans if plan.item is not None]
            beside = [push for plan in plans for push in plan.beside]
            told = [*items, *beside]
            outcomes = iter(await self._journal.accept(told, cursor) if told or cursor else ())
        except JournalError:
            # The bridge will bring the same batch again; that must not use up its senders' rate.
            for plan in plans:
                self._admission.give_back(plan.rated)
            raise
        results: list[AcceptResult] = []
        for event, plan in zip(batch, plans, strict=True):
            outcome = next(outcomes) if plan.item is not None else None
            results.append(await self._result(event, plan, outcome))
            _log(event, results[-1])
        if len(results) == 1 and isinstance(results[0], Accepted | Duplicate) and results[0].turn is not None:
            learned(turn=results[0].turn)
        return results

    async def _result(
        self,
        event: Inbound,
        plan: Plan,
        outcome: Accepted | Duplicate | Pushed | Stored | None,
    ) -> AcceptResult:
        match outcome:
            case Accepted():
                assert isinstance(event, InboundMessage)  # noqa: S101 - only messages are accepted
                self._counts.received.add(event.address.bridge)
                self._fanout.publish(event.address, Arrived())
                self._on_message(event)
                return outcome
            case Stored() if isinstance(plan.item, AdmittedControl):
                return await self._control_result(plan.item.control, outcome)
            case Stored(turn=edited) if isinstance(event, Edited):
                return Replied(text="", nothing=edited is None)
            case Stored() if isinstance(event, Unreadable):
                self._alarms.given_up(GivenUp(id=None, bridge=event.bridge, conversation=None, why=event.why))
                return Refused(reason="unreadable")
            case Stored() | None | Pushed():
                return plan.answer or Refused(reason="unreadable")
            case Duplicate(turn=turn):
                self._admission.give_back(plan.rated)
                if isinstance(plan.item, AdmittedControl) and turn is not None:
                    # Whoever brought it first may have been cancelled before it was passed on.
                    self._pass_on(plan.item.control, turn)
                return plan.answer or outcome

    def _pass_on(self, control: InboundControl, turn: TurnId) -> None:
        """Let a stop reach the turn that runs; an answer is found by the worker that claims its turn."""
        if control.kind == "stop":
            self._on_stop(turn)

    async def _control_result(self, control: InboundControl, stored: Stored) -> AcceptResult:
        if control.kind == "fetch":
            return Replied(text="", nothing=not stored.fetched)  # what is fetched is the answer
        done, nothing = _TOLD[control.kind]
        if stored.turn is not None:
            self._pass_on(control, stored.turn)
            return Replied(text=say(done, await self._admission.language(control)))
        text = say(nothing, await self._admission.language(control))
        # Who pressed a button reads it there; the others in the chat have no use for it. And a draft that
        # is stopped as its answer arrives has what was wanted.
        if not control.address.pulls and control.question is None and control.draft is None:
            key = MessageId(f"{control.id}:reply")
            try:
                await self._journal.accept([Push(id=key, address=control.address, text=text)])
            except JournalUnavailable as error:
                # The batch is committed: it must not be refused for the sake of this answer.
                log.warning("reply_lost", extra={"conversation": control.address, "error": str(error)})
        return Replied(text=text, nothing=True)


_TOLD: Final[dict[Literal["stop", "approve", "deny"], tuple[str, str]]] = {
    "stop": ("stopping", "nothing_to_stop"),
    "approve": ("approved", "nothing_to_answer"),
    "deny": ("denied", "nothing_to_answer"),
}
"""What is said of a control: that it was taken, or that there was nothing for it."""


def _log(event: Inbound, result: AcceptResult) -> None:
    """Write the first line of a message's way; what is refused leaves none, as strangers would fill the log."""
    if not isinstance(result, Accepted | Duplicate) or result.turn is None:
        return
    what: tuple[int, str] = (logging.INFO, "message_accepted")
    if isinstance(result, Duplicate):
        what = (logging.DEBUG, "message_repeated")
    if isinstance(event, InboundMessage) and log.isEnabledFor(what[0]):
        address = event.address
        log.log(*what, extra={"turn": result.turn, "bridge": address.bridge, "conversation": address})
