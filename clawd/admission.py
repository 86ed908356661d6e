"""What one inbound event leads to, before anything is committed: may it come in, and what is meant.

Access, then rate, then what it is: a message, a control, or a command that is answered at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from clawd.commands import (
    Alerts,
    Approve,
    ChooseModel,
    Command,
    Deny,
    Query,
    Stop,
    UnknownCommand,
    behind_prefix,
    parse,
)
from clawd.errors import JournalError, JournalUnavailable
from clawd.ids import pairing_code
from clawd.journal.items import AdmittedControl, AdmittedMessage, Item, Push
from clawd.messages import (
    AcceptResult,
    ControlKind,
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
from clawd.pairing import decide, questions
from clawd.rate import RateLimit, Verdict
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from clawd.access import Access
    from clawd.config.schema import AccessConfig
    from clawd.ids import Clock
    from clawd.journal.base import Journal
    from clawd.journal.items import Right
    from clawd.messages import Address
    from clawd.queries import Queries

MAX_TEXT_CHARS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What one inbound event leads to: an item to commit, if any, and the answer if the commit says no more."""

    item: Item | None
    answer: AcceptResult | None = None
    rated: tuple[str, Verdict] | None = None  # against whose rate it counts, and what that said
    beside: tuple[Push, ...] = ()  # what others are told


class Admission:
    """Decides about inbound events.

    Args:
        journal: Knows open questions, and which language a conversation chose.
        access: Knows who may come in, and with which right.
        queries: Answers commands about clawd itself.
        clock: For rates.
        prefixes: The words that choose a route, by prefix.
        app_events: Of which events the app of an account is told.
    """

    def __init__(
        self,
        journal: Journal,
        access: Access,
        queries: Queries,
        clock: Clock,
        *,
        prefixes: Callable[[], Mapping[str, str]],
        app_events: Callable[[str], Collection[str]] = lambda _: (),
    ) -> None:
        self._journal = journal
        self._access = access
        self._queries = queries
        self._clock = clock
        self._prefixes = prefixes
        self._app_events = app_events
        self._limit = "20/min"
        self._rate = RateLimit(self._limit, clock)

    def configure(self, config: AccessConfig) -> None:
        """Use this rate from now on; a new one starts afresh for everybody."""
        if config.rate != self._limit:
            self._limit = config.rate
            self._rate = RateLimit(config.rate, self._clock)

    async def plan(self, event: Inbound) -> Plan:
        """Return what an event leads to; a message is counted against its sender's rate.

        Raises:
            JournalError: the journal can't be asked now; nothing is counted.
        """
        match event:
            case Unreadable():
                return Plan(event)
            case Edited():
                return self._plan_edit(event)
            case Moved():
                return Plan(event, Replied(text=""))
            case InboundControl():
                return await self._plan_control(event)
            case InboundMessage():
                return await self._plan_message(event)

    async def _plan_message(self, message: InboundMessage) -> Plan:
        if not message.addressed:
            return Plan(None, Refused(reason="not_addressed"))
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
            self.give_back(rated)
            raise
        return Plan(plan.item, plan.answer, rated)

    def _plan_edit(self, edit: Edited) -> Plan:
        """Let a newer version in; one that became a command changes nothing, as it would act out of its turn."""
        if self._access.right_of(edit.message.address.bridge, edit.message.sender) is None:
            return Plan(None, Refused(reason="stranger"))
        if parse(edit.message.text, self._prefixes()) is not None:
            return Plan(None, Replied(text="", nothing=True))
        return Plan(replace(edit, message=_cut(edit.message)))

    async def _plan_control(self, control: InboundControl, said: InboundMessage | None = None) -> Plan:
        """Let a control in; `said` is the message that it was written as, where it was."""
        right = self._access.right_of(control.address.bridge, control.sender)
        if right is None:
            return Plan(None, Refused(reason="stranger"))
        answers = control.kind in ("approve", "deny")
        if answers and (code := pairing_code(control.question)) is not None:
            language = await self.language(control)
            return Plan(*await decide(control, code, right, self._access, language))
        if answers and not await self._may_answer(control, right):
            text = say("not_yours", await self.language(control))
            refused = Refused(reason="not_yours", text=text)
            return self._refusal(said, refused) if said is not None else Plan(None, refused)
        return Plan(AdmittedControl(control=control, own_only=right != "owner"))

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
    ) -> Plan:
        if verdict == "silent":
            return Plan(None, Refused(reason="rate"))
        if verdict == "tell":
            text = say("rate_limited", await self.language(message))
            # Under a key of its own: the message was not taken, so it may come again under its id.
            return self._refusal(message, Refused(reason="rate", text=text), key=f"{message.id}:rate")
        match command:
            case Query() | Alerts():
                language, owner = await self.language(message), _right_for(message, right) == "owner"
                text = await self._queries.answer(command, message, language, owner=owner)
                return self._reply(message, text)
            case UnknownCommand(name, nearest):
                language = await self.language(message)
                near = say("did_you_mean", language, name=nearest) if nearest else ""
                hint = near or say("see_help", language)
                return self._reply(message, say("unknown_command", language, name=name, hint=hint))
            case None if (prefix := self._bare_prefix(message)) is not None:
                text = say("prefix_alone", await self.language(message), prefix=prefix)
                return self._reply(message, text)
            case _:
                item = AdmittedMessage(
                    message=_cut(message),
                    right=_right_for(message, right),
                    app=self._app(message),
                    chooses=isinstance(command, ChooseModel) and command.name is not None,
                )
                return Plan(item)

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

    async def _plan_stranger(self, message: InboundMessage) -> Plan:
        code = None if message.group else await self._access.pair(message.address, message.sender)
        if code is None:
            return Plan(None, Refused(reason="stranger"))
        text = say("pairing", message.sender.language, code=code)
        # One answer per code: the same stranger writing again before the owner decides hears nothing.
        plan = self._refusal(message, Refused(reason="stranger", text=text), key=f"pair:{code}")
        return replace(plan, beside=await questions(message, code, self._access, self._chosen_language))

    def _reply(self, message: InboundMessage, text: str) -> Plan:
        if message.address.pulls:
            return Plan(None, Replied(text=text))
        return Plan(_push(message, text), Replied(text=text))

    def _refusal(self, message: InboundMessage, refused: Refused, key: str | None = None) -> Plan:
        if not refused.text or message.address.pulls:
            return Plan(None, refused)
        return Plan(_push(message, refused.text, key), refused)

    def _take(self, message: InboundMessage) -> tuple[str, Verdict] | None:
        """Count the message against its sender's rate; None where there is no limit."""
        if message.address.bridge == "terminal":
            return None
        return message.user, self._rate.take(message.user)

    def give_back(self, rated: tuple[str, Verdict] | None) -> None:
        """Undo what a plan took of its sender's rate: its message was nothing new, or could not be committed."""
        if rated is not None:
            self._rate.give_back(*rated)

    async def language(self, event: InboundMessage | InboundControl) -> str | None:
        """Return the language to answer in: chosen by /lang, else the sender's."""
        return await self._chosen_language(event.address) or event.sender.language

    async def _chosen_language(self, address: Address) -> str | None:
        try:
            settings = await self._journal.settings(address)
        except JournalUnavailable:
            return None  # no reason to refuse anything
        return settings.language


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
