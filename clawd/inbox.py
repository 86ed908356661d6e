"""The only door in: access, rate, message or control, commit, wake.

Everything that reaches clawd goes through `DurableInbox.accept`, whichever bridge, gateway or terminal it
came from. When it returns, the batch and the bridge's cursor are committed together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from clawd.alarms import GivenUp
from clawd.commands import (
    Alerts,
    Approve,
    Command,
    Deny,
    Query,
    Stop,
    UnknownCommand,
    behind_prefix,
    parse,
)
from clawd.errors import JournalError, JournalUnavailable
from clawd.fanout import Arrived
from clawd.ids import pairing_code
from clawd.journal.base import AdmittedControl, AdmittedMessage, Item, Push, Pushed, Stored
from clawd.messages import (
    Accepted,
    AcceptResult,
    ControlKind,
    Cursor,
    Duplicate,
    Edited,
    Inbound,
    InboundControl,
    InboundMessage,
    MessageId,
    Moved,
    Refused,
    Replied,
    Text,
    Unreadable,
)
from clawd.observability.about import learned
from clawd.observability.counts import Counts
from clawd.pairing import decide, questions
from clawd.queries import Queries
from clawd.rate import RateLimit, Verdict
from clawd.texts import say

if TYPE_CHECKING:
    from clawd.access import Access
    from clawd.alarms import Alarms
    from clawd.config.schema import AccessConfig
    from clawd.fanout import Fanout
    from clawd.ids import Clock, TurnId
    from clawd.journal.base import Journal, Right
    from clawd.messages import Address
    from clawd.queries import AlertsText, StatusText, UsageText

log = logging.getLogger(__name__)

MAX_TEXT_CHARS: Final = 200_000


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one inbound event leads to: an item to commit, if any, and the answer if the commit says no more."""

    item: Item | None
    answer: AcceptResult | None = None
    rated: tuple[str, Verdict] | None = None  # against whose rate it counts, and what that said
    beside: tuple[Push, ...] = ()  # what others are told


class DurableInbox:
    """The inbox over a journal; implements `clawd.bridge.Inbox`."""

    def __init__(
        self,
        journal: Journal,
        access: Access,
        fanout: Fanout,
        clock: Clock,
        *,
        on_stop: Callable[[TurnId], None],
        on_message: Callable[[InboundMessage], None],
        status_text: StatusText,
        usage_text: UsageText,
        alerts_text: AlertsText,
        alarms: Alarms,
        prefixes: Callable[[], Mapping[str, str]],
        app_events: Callable[[str], Collection[str]] = lambda _: (),
        counts: Counts | None = None,
    ) -> None:
        self._journal = journal
        self._access = access
        self._fanout = fanout
        self._clock = clock
        self._on_stop = on_stop
        self._on_message = on_message
        self._queries = Queries(status=status_text, usage=usage_text, alerts=alerts_text, prefixes=prefixes)
        self._alarms = alarms
        self._prefixes = prefixes
        self._app_events = app_events  # of which events the app of an account is told
        self._counts = counts or Counts()
        self._limit = "20/min"
        self._rate = RateLimit(self._limit, clock)

    def configure(self, config: AccessConfig) -> None:
        """Use this rate from now on; a new one starts afresh for everybody."""
        if config.rate != self._limit:
            self._limit = config.rate
            self._rate = RateLimit(config.rate, self._clock)

    async def cursor(self, key: str) -> str | None:
        """Return the last committed value of a bridge's cursor."""
        return await self._journal.cursor(key)

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        """Return once batch and cursor are committed together; see `clawd.bridge.Inbox`."""
        plans: list[_Plan] = []
        try:
            for event in batch:
                plans.append(await self._plan(event))  # noqa: PERF401 - those made so far count if one fails
            items = [plan.item for plan in plans if plan.item is not None]
            beside = [push for plan in plans for push in plan.beside]
            told = [*items, *beside]
            outcomes = iter(await self._journal.accept(told, cursor) if told or cursor else ())
        except JournalError:
            # The bridge will bring the same batch again; that must not use up its senders' rate.
            for plan in plans:
                self._give_back(plan.rated)
            raise
        results: list[AcceptResult] = []
        for event, plan in zip(batch, plans, strict=True):
            outcome = next(outcomes) if plan.item is not None else None
            results.append(await self._result(event, plan, outcome))
            _log(event, results[-1])
        if len(results) == 1 and isinstance(results[0], Accepted | Duplicate) and results[0].turn is not None:
            learned(turn=results[0].turn)
        return results

    # --- before the commit: what is meant, and may it come in ------------------------------------------

    async def _plan(self, event: Inbound) -> _Plan:
        match event:
            case Unreadable():
                return _Plan(event)
            case Edited():
                return self._plan_edit(event)
            case Moved():
                return _Plan(event, Replied(text=""))
            case InboundControl():
                return await self._plan_control(event)
            case InboundMessage():
                return await self._plan_message(event)

    async def _plan_message(self, message: InboundMessage) -> _Plan:
        if not message.addressed:
            return _Plan(None, Refused(reason="not_addressed"))
        right = self._access.right_of(message.address.bridge, message.sender)
        if right is None:
            return await self._plan_stranger(message)
        command = parse(message.text, self._prefixes())
        if isinstance(command, Stop | Approve | Deny):
            # Also from somebody over the limit: it makes less work, not more.
            return await self._plan_control(_control(message, command), message)
        rated = self._take(message)
        try:
            plan = await self._plan_admitted(message, right, command, rated[1] if rated else "ok")
        except JournalError:
            self._give_back(rated)
            raise
        return _Plan(plan.item, plan.answer, rated)

    def _plan_edit(self, edit: Edited) -> _Plan:
        """Let a newer version in; one that became a command changes nothing, as it would act out of its turn."""
        if self._access.right_of(edit.message.address.bridge, edit.message.sender) is None:
            return _Plan(None, Refused(reason="stranger"))
        if parse(edit.message.text, self._prefixes()) is not None:
            return _Plan(None, Replied(text="", nothing=True))
        return _Plan(replace(edit, message=_cut(edit.message)))

    async def _plan_control(self, control: InboundControl, said: InboundMessage | None = None) -> _Plan:
        """Let a control in; `said` is the message that it was written as, where it was."""
        right = self._access.right_of(control.address.bridge, control.sender)
        if right is None:
            return _Plan(None, Refused(reason="stranger"))
        answers = control.kind in ("approve", "deny")
        if answers and (code := pairing_code(control.question)) is not None:
            language = await self._language(control)
            return _Plan(*await decide(control, code, right, self._access, language))
        if answers and not await self._may_answer(control, right):
            text = say("not_yours", await self._language(control))
            refused = Refused(reason="not_yours", text=text)
            return self._refusal(said, refused) if said is not None else _Plan(None, refused)
        return _Plan(AdmittedControl(control=control, own_only=right != "owner"))

    async def _may_answer(self, control: InboundControl, right: Right) -> bool:
        """Whether this person may answer the question: an owner, or who asked, with the right to tools."""
        if right == "owner":
            return True
        question = await self._journal.question(control.address)
        if question is None or control.question not in (None, question.id):
            return True  # nothing to answer; the commit will find that out
        return right == "tools" and question.asker.id == control.sender.id

    async def _plan_admitted(
        self, message: InboundMessage, right: Right, command: Command | None, verdict: Verdict
    ) -> _Plan:
        if verdict == "silent":
            return _Plan(None, Refused(reason="rate"))
        if verdict == "tell":
            text = say("rate_limited", await self._language(message))
            # Under a key of its own: the message was not taken, so it may come again under its id.
            return self._refusal(message, Refused(reason="rate", text=text), key=f"{message.id}:rate")
        match command:
            case Query() | Alerts():
                language, owner = await self._language(message), _right_for(message, right) == "owner"
                text = await self._queries.answer(command, message, language, owner=owner)
                return self._reply(message, text)
            case UnknownCommand(name, nearest):
                language = await self._language(message)
                near = say("did_you_mean", language, name=nearest) if nearest else ""
                hint = near or say("see_help", language)
                return self._reply(message, say("unknown_command", language, name=name, hint=hint))
            case None if (prefix := self._bare_prefix(message)) is not None:
                text = say("prefix_alone", await self._language(message), prefix=prefix)
                return self._reply(message, text)
            case _:
                right = _right_for(message, right)
                return _Plan(AdmittedMessage(message=_cut(message), right=right, app=self._app(message)))

    def _app(self, message: InboundMessage) -> str | None:
        """Return the app that is to be told of a message in a conversation of its own."""
        account = message.address.account
        of_api = message.address.bridge == "api"
        return account if of_api and "message" in self._app_events(account) else None

    def _bare_prefix(self, message: InboundMessage) -> str | None:
        """Return the prefix that is all of a message, if it looks like a command; there is nothing to answer."""
        prefixes = self._prefixes()
        if not prefixes or not all(isinstance(part, Text) for part in message.parts):
            return None
        words = (prefix for prefix in prefixes if prefix.startswith("/"))
        return next((prefix for prefix in words if behind_prefix(message.text, prefix) == ""), None)

    async def _plan_stranger(self, message: InboundMessage) -> _Plan:
        code = None if message.group else await self._access.pair(message.address, message.sender)
        if code is None:
            return _Plan(None, Refused(reason="stranger"))
        text = say("pairing", message.sender.language, code=code)
        # One answer per code: the same stranger writing again before the owner decides hears nothing.
        plan = self._refusal(message, Refused(reason="stranger", text=text), key=f"pair:{code}")
        return replace(plan, beside=await questions(message, code, self._access, self._chosen_language))

    def _reply(self, message: InboundMessage, text: str) -> _Plan:
        if message.address.pulls:
            return _Plan(None, Replied(text=text))
        return _Plan(_push(message, text), Replied(text=text))

    def _refusal(self, message: InboundMessage, refused: Refused, key: str | None = None) -> _Plan:
        if not refused.text or message.address.pulls:
            return _Plan(None, refused)
        return _Plan(_push(message, refused.text, key), refused)

    def _take(self, message: InboundMessage) -> tuple[str, Verdict] | None:
        """Count the message against its sender's rate; None where there is no limit."""
        if message.address.bridge == "terminal":
            return None
        return message.user, self._rate.take(message.user)

    def _give_back(self, rated: tuple[str, Verdict] | None) -> None:
        if rated is not None:
            self._rate.give_back(*rated)

    async def _language(self, event: InboundMessage | InboundControl) -> str | None:
        """Return the language to answer in: chosen by /lang, else the sender's."""
        return await self._chosen_language(event.address) or event.sender.language

    async def _chosen_language(self, address: Address) -> str | None:
        try:
            settings = await self._journal.settings(address)
        except JournalUnavailable:
            return None  # no reason to refuse anything
        return settings.language

    # --- after the commit: tell the caller, wake the others ---------------------------------------------

    async def _result(
        self,
        event: Inbound,
        plan: _Plan,
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
                self._give_back(plan.rated)
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
            return Replied(text=say(done, await self._language(control)))
        text = say(nothing, await self._language(control))
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


def _control(message: InboundMessage, command: Stop | Approve | Deny) -> InboundControl:
    """Return a command as the control that it is."""
    kinds: dict[type, ControlKind] = {Stop: "stop", Approve: "approve", Deny: "deny"}
    return InboundControl(
        id=message.id,
        address=message.address,
        sender=message.sender,
        kind=kinds[type(command)],
        always=command.always if isinstance(command, Approve) else None,
        sent_at=message.sent_at,
    )


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


def _push(message: InboundMessage, text: str, key: str | None = None) -> Push:
    return Push(
        id=MessageId(key) if key else message.id,
        address=message.address,
        text=text,
        reference=message.reference,
    )


def _cut(message: InboundMessage) -> InboundMessage:
    """Keep at most MAX_TEXT_CHARS of text, with a note where it was cut."""
    if len(message.text) <= MAX_TEXT_CHARS:
        return message
    note = say("text_cut", message.sender.language)
    rest = tuple(part for part in message.parts if not isinstance(part, Text))
    return replace(message, parts=(Text(f"{message.text[:MAX_TEXT_CHARS]}\n{note}"), *rest))


def _right_for(message: InboundMessage, right: Right) -> Right:
    """In a group others read and steer along: an owner's right to everything stays in private chats."""
    return "tools" if message.group and right == "owner" else right
