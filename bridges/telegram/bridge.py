"""The Telegram bridge: its life, and sending with all rungs of its ladder."""

from __future__ import annotations

import logging
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.answers import Answers
from bridges.telegram.budget import CallBudget, Urgency
from bridges.telegram.errors import bridge_error, delivery_error, trouble
from bridges.telegram.files import Files
from bridges.telegram.intake import Intake
from bridges.telegram.joining import Hello
from bridges.telegram.lean import AiogramError, Bot, TelegramRetryAfter
from bridges.telegram.menu import Menu
from bridges.telegram.outbound import Draft, draft_of, preview_of, target
from bridges.telegram.polling import Polling
from bridges.telegram.session import GetMe, SendChatAction, Session
from bridges.telegram.signin import SignIn, account_of, hidden_groups
from bridges.telegram.units import TEXT_LIMIT
from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.messages import BridgeCapabilities, Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bridges.telegram.config import TelegramConfig
    from clawd.bridge import BridgeContext, Inbox
    from clawd.messages import Address, Media, OutboundMessage, Preview

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0  # with the second half of a message on the way
_ASIDE_TIMEOUT_S: Final = 5  # what is only nice to have: typing, answers to presses


class TelegramBridge:
    """One bot."""

    def __init__(self, context: BridgeContext, config: TelegramConfig) -> None:
        self.name = context.name
        self._stream = config.stream
        self._clock = context.clock
        self._budget = CallBudget(context.clock)
        session = Session(
            config.api_base,
            config.network or context.network,
            timeout_s=config.request_timeout_s,
            user_agent=f"clawd/{context.version}",
        )
        self._bot = Bot(config.token.reveal(), session=session)
        self._aside_timeout_s = min(_ASIDE_TIMEOUT_S, ceil(config.request_timeout_s))
        answers = Answers(self.name, self._bot, timeout_s=self._aside_timeout_s)
        hello = Hello(self.name, self._bot, timeout_s=self._aside_timeout_s)
        self._intake = Intake(context.clock, answers, hello)
        menu = Menu(self.name, self._bot, timeout_s=self._aside_timeout_s) if config.commands else None
        self._groups = config.group_rules
        self._sign_in = SignIn(self.name, self._bot, self._groups, menu)
        self._files = Files(self.name, self._bot, Path(config.local_dir) if config.local_dir else None)
        self._polling = Polling(
            self.name,
            self._bot,
            context.clock,
            self._sign_in,
            self._intake,
            timeout_s=config.poll_timeout_s,
        )

    @property
    def capabilities(self) -> BridgeCapabilities:
        return BridgeCapabilities(text_limit=TEXT_LIMIT, text_unit="utf16", edits=True, typing=True)

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        await self._polling.run(inbox, ready)

    async def close(self) -> None:
        await self._bot.session.close()

    async def probe(self) -> str:
        try:
            me = await self._bot(GetMe())
        except AiogramError as error:
            raise bridge_error(self.name, error) from error
        reads = (
            "reads all group messages" if me.can_read_all_group_messages else "groups: mentions and replies"
        )
        hidden = hidden_groups(account_of(me, self.name, self._groups))
        return f"@{me.username} (id {me.id}), {reads}" + (f"; {hidden}" if hidden else "")

    def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Return the content of a file that somebody sent."""
        return self._files.fetch(part)

    # --- sending --------------------------------------------------------------------------------------

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message, or replace the preview named by `message.edit_of`.

        Going down the ladder: without formatting, without thread, without quoting, as a new message
        instead of an edit, in two halves.
        """
        return Receipt(remote_id=await self._deliver(self._checked(draft_of, message), "answer"))

    def previews(self, address: Address) -> bool:
        """Whether previews are wanted at this address."""
        return self._stream

    async def preview(self, preview: Preview) -> Receipt:
        """Show or replace unfinished text; an edit of a message that is gone is refused."""
        draft = self._checked(preview_of, preview)
        return Receipt(remote_id=await self._deliver(draft, "preview", new_if_gone=False))

    async def working(self, address: Address) -> None:
        """Show "typing …"; whatever goes wrong, the reply itself will tell."""
        try:
            chat, thread = target(address)
            if self._budget.admit(chat, "aside") > 0:
                return
            action = SendChatAction(chat_id=chat, message_thread_id=thread, action="typing")
            await self._bot(action, request_timeout=self._aside_timeout_s)
        except (AiogramError, ValueError) as error:
            log.debug("typing_not_shown", extra={"bridge": self.name, "reason": type(error).__name__})

    async def _deliver(self, draft: Draft, urgency: Urgency, *, new_if_gone: bool = True) -> str | None:
        """Send a draft or what is below it; return the message's id."""
        while True:
            if (wait_s := self._budget.admit(draft.chat, urgency)) > 0:
                raise DeliveryRetryLater(
                    self.name, "the chat has had its share of calls", retry_after_s=wait_s
                )
            try:
                return _message_id(await self._bot(draft.method()), draft)
            except AiogramError as error:
                if isinstance(error, TelegramRetryAfter):
                    self._budget.freeze(draft.chat, error.retry_after)
                kind = trouble(error)
                if kind == "unchanged":
                    return str(draft.edit)
                if kind == "too_long" and (halves := draft.halves()) is not None:
                    return await self._deliver_both(*halves, urgency)
                below = draft.below(kind) if new_if_gone or kind != "edit_gone" else None
                if below is None:
                    raise delivery_error(self.name, error) from error
                log.info("reply_simplified", extra={"bridge": self.name, "reason": kind})
                draft = below

    async def _deliver_both(self, first: Draft, second: Draft, urgency: Urgency) -> str | None:
        remote_id = await self._deliver(first, urgency)
        try:
            while True:
                try:
                    await self._deliver(second, urgency)
                    break
                except DeliveryRetryLater as error:
                    if error.retry_after_s is None or error.retry_after_s > _PATIENCE_S:
                        raise
                    await self._clock.sleep(error.retry_after_s)
        except DeliveryError as error:
            # Half of it is there: no longer "surely not sent".
            raise DeliveryUnknown(self.name, "only the first half went out", why=str(error)) from error
        return remote_id

    def _checked(self, convert: Callable[[Any], Draft], message: Any) -> Draft:
        try:
            draft = convert(message)
        except ValueError as error:
            raise DeliveryRejected(self.name, "not an address at Telegram", why=str(error)) from error
        if not draft.content.text:
            raise DeliveryRejected(self.name, "a message without text")
        return draft


def _message_id(result: Any, draft: Draft) -> str | None:
    """Return the id in an answer; one without it still means that the message is there."""
    if draft.edit is not None:
        return str(draft.edit)
    number = result.get("message_id") if isinstance(result, dict) else None
    return str(number) if isinstance(number, int) else None
