"""The Telegram bridge: its life, and what it offers; the calls themselves are made in calls.py."""

from __future__ import annotations

import logging
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bridges.telegram.answers import Answers
from bridges.telegram.budget import CallBudget
from bridges.telegram.calls import Calls
from bridges.telegram.drafts import LIFE_S, Drafts
from bridges.telegram.errors import bridge_error
from bridges.telegram.files import Files
from bridges.telegram.intake import Intake
from bridges.telegram.joining import Hello
from bridges.telegram.lean import AiogramError, Bot, GetWebhookInfo
from bridges.telegram.menu import Menu
from bridges.telegram.outbound import preview_of, rung_of, target
from bridges.telegram.packing import pack
from bridges.telegram.parcels import FILE_LIMIT, answer_as_document
from bridges.telegram.polling import Polling
from bridges.telegram.reactions import Reactions
from bridges.telegram.session import GetMe, SendChatAction, Session
from bridges.telegram.signin import SignIn, account_of, hidden_groups
from bridges.telegram.units import TEXT_LIMIT
from clawd.bridge import Oddity
from clawd.errors import DeliveryError, DeliveryRejected
from clawd.messages import Address, BridgeCapabilities, Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from bridges.telegram.config import TelegramConfig
    from bridges.telegram.outbound import Rung
    from bridges.telegram.parcels import Parcel
    from clawd.bridge import BridgeContext, Inbox
    from clawd.messages import Draft, Mark, Media, OutboundMessage, Preview

log = logging.getLogger(__name__)

_ASIDE_TIMEOUT_S: Final = 5  # what is only nice to have: typing, drafts, reactions, answers to presses


class TelegramBridge:
    """One bot."""

    draft_life_s = LIFE_S

    def __init__(self, context: BridgeContext, config: TelegramConfig) -> None:
        self.name = context.name
        self._config = config
        session = Session(
            config.api_base,
            config.network or context.network,
            timeout_s=config.request_timeout_s,
            user_agent=f"clawd/{context.version}",
        )
        self._bot = Bot(config.token.reveal(), session=session)
        self._aside_timeout_s = aside_s = min(_ASIDE_TIMEOUT_S, ceil(config.request_timeout_s))
        self._calls = Calls(self.name, self._bot, context.clock, CallBudget(context.clock))
        self._artifacts = context.artifacts
        self._drafts = Drafts(self.name, self._calls, config.format, timeout_s=aside_s)
        self._reactions = Reactions(self.name, self._calls, timeout_s=aside_s)
        answers = Answers(self.name, self._bot, timeout_s=aside_s)
        hello = Hello(self.name, self._bot, timeout_s=aside_s)
        self._intake = Intake(context.clock, answers, hello)
        menu = Menu(self.name, self._bot, timeout_s=aside_s) if config.commands else None
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
        return BridgeCapabilities(
            text_limit=TEXT_LIMIT,
            text_unit="utf16",
            document_over=self._config.document_over,
            edits=True,
            typing=True,
            files=frozenset({"image", "audio", "file"}),
            file_limit=FILE_LIMIT,
        )

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

    def chat_address(self, chat: str) -> Address:
        """Return the conversation of a chat; a bot's token begins with its id."""
        bot, _, _ = self._config.token.reveal().partition(":")
        return Address(bridge=self.name, account=bot, chat=chat)

    async def oddities(self) -> Sequence[Oddity]:
        """Return what keeps messages from us: somebody else's webhook, or privacy mode."""
        try:
            me, hook = await self._bot(GetMe()), await self._bot(GetWebhookInfo())
        except AiogramError as error:
            raise bridge_error(self.name, error) from error
        found = []
        wanted = self._config.webhook_url if self._config.mode == "webhook" else ""
        if hook.url and hook.url != wanted:
            host = urlsplit(hook.url).hostname
            what = f"a webhook of {host} is set for this bot: who polls meanwhile is refused (409)"
            found.append(
                Oddity(what=what, remedy="one bot, one program; a start of clawd puts its own in its place")
            )
        if hidden := hidden_groups(account_of(me, self.name, self._groups)):
            what, _, remedy = hidden.partition(": ")
            found.append(Oddity(what=what, remedy=remedy))
        return found

    def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Return the content of a file that somebody sent."""
        return self._files.fetch(part)

    # --- what must arrive -------------------------------------------------------------------------------

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message, or replace the preview named by `message.edit_of`.

        A text above `document_over` goes out as a file. Going down the ladder: laid out by us instead of
        Telegram, without formatting, without thread, without quoting, as a new message instead of an edit,
        in two halves; files as documents, then in words.
        """
        try:
            packed = await self._packed(message)
        except ValueError as error:
            raise DeliveryRejected(self.name, "not an address at Telegram", why=str(error)) from error
        return Receipt(remote_id=await self._calls.deliver_all(packed))

    async def _packed(self, message: OutboundMessage) -> Sequence[Rung | Parcel]:
        over = self._config.document_over
        if over and len(message.text) > over:
            return [answer_as_document(message)]
        rungs = await pack(message, rung_of(message, self._config.format), self._artifacts)
        if not rungs:
            raise DeliveryRejected(self.name, "a message without text")
        return rungs

    # --- what is shown meanwhile ------------------------------------------------------------------------

    def drafts(self, address: Address) -> bool:
        """Whether drafts are wanted, and possible, at this address."""
        return self._config.stream and self._drafts.possible(address)

    async def draft(self, draft: Draft) -> None:
        """Show or replace the draft; its button stops the turn."""
        await self._drafts.show(draft)

    def previews(self, address: Address) -> bool:
        """Whether previews are wanted at this address."""
        return self._config.stream

    async def preview(self, preview: Preview) -> Receipt:
        """Show or replace unfinished text; an edit of a message that is gone is refused."""
        try:
            rung = preview_of(preview)
        except ValueError as error:
            raise DeliveryRejected(self.name, "not an address at Telegram", why=str(error)) from error
        return Receipt(remote_id=await self._calls.deliver(rung, "preview", new_if_gone=False))

    def marks(self, address: Address) -> bool:
        """Whether reactions are wanted, and possible, at this address."""
        return self._config.reactions and self._reactions.possible(address)

    async def mark(self, address: Address, reference: str, mark: Mark) -> None:
        """Put a reaction on a person's message in the place of the last."""
        await self._reactions.put(address, reference, mark)

    async def working(self, address: Address) -> None:
        """Show "typing …"; whatever goes wrong, the reply itself will tell."""
        try:
            chat, thread = target(address)
            action = SendChatAction(chat_id=chat, message_thread_id=thread, action="typing")
            await self._calls.call(chat, action, "aside", timeout_s=self._aside_timeout_s)
        except (AiogramError, DeliveryError, ValueError) as error:
            log.debug("typing_not_shown", extra={"bridge": self.name, "reason": type(error).__name__})
