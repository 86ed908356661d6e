"""Drafts: how a reply grows in a private chat, with a button that stops it.

A draft is no message. It vanishes after some 30 s unless it is shown again, and when the reply arrives.

Source: Bot API, sendMessageDraft (private chats, draft_id not 0, an empty text shows "Thinking…"); update
`stopped_message_generation`, which names the draft but neither a person nor a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.errors import delivery_error, trouble
from bridges.telegram.format import Formatted
from bridges.telegram.lean import AiogramError, MessageGenerationStopped, TelegramBadRequest
from bridges.telegram.outbound import draft_content, entities_of, target
from bridges.telegram.refusals import Refusals
from bridges.telegram.session import SendMessageDraft
from clawd.errors import DeliveryRejected
from clawd.messages import Address, InboundControl, MessageId, Sender

if TYPE_CHECKING:
    from datetime import datetime

    from bridges.telegram.account import Account
    from bridges.telegram.calls import Calls
    from bridges.telegram.config import Format
    from clawd.messages import Draft

LIFE_S: Final = 30.0
STOPPED: Final = "stopped_message_generation"


class Drafts:
    """Shows drafts, and remembers where there are none."""

    def __init__(self, name: str, calls: Calls, form: Format, *, timeout_s: int) -> None:
        self._name = name
        self._calls = calls
        self._format: Format = form
        self._timeout_s = timeout_s  # the reply waits for a draft that is on the wire
        self._refusals = Refusals()

    def possible(self, address: Address) -> bool:
        """Whether this chat can show drafts, as far as is known."""
        chat = address.chat
        return chat.isdigit() and not self._refusals.cover(int(chat))

    async def show(self, draft: Draft) -> None:
        """Show or replace a draft; raises DeliveryError."""
        chat, thread = target(draft.address)
        content = draft_content(draft, self._format)
        try:
            try:
                await self._show(chat, thread, draft.id, content)
            except TelegramBadRequest as error:
                if trouble(error) != "entities" or not content.entities:
                    raise
                await self._show(chat, thread, draft.id, Formatted(content.text))
        except AiogramError as error:
            kind = trouble(error)
            if kind is None:
                raise delivery_error(self._name, error) from error
            if kind == "unknown_method" or "method" in str(getattr(error, "message", "")).lower():
                self._refusals.everywhere()  # a Bot API server older than drafts
            elif kind != "entities":
                self._refusals.add(chat)
            raise DeliveryRejected(self._name, "no drafts in this chat", why=kind) from error

    async def _show(self, chat: int | str, thread: int | None, number: int, content: Formatted) -> None:
        method = SendMessageDraft(
            chat_id=int(chat),
            draft_id=number,
            message_thread_id=thread,
            text=content.text or None,
            entities=entities_of(content),
            parse_mode=None,
            can_stop=True,
            keep_on_stop=True,  # until what was said comes as a message
        )
        await self._calls.call(chat, method, "preview", timeout_s=self._timeout_s)


def read_stop(raw: Any, event_id: str, account: Account, now: datetime) -> InboundControl:
    """Return the stop that a press on a draft's button is. It is a private chat, so we know who pressed.

    Raises:
        ValidationError: it can't be read.
    """
    stopped = MessageGenerationStopped.model_validate(raw)
    chat, thread = stopped.chat, stopped.message_thread_id
    return InboundControl(
        id=MessageId(event_id),
        address=Address(
            bridge=account.bridge,
            account=str(account.id),
            chat=str(chat.id),
            thread=str(thread) if thread is not None else None,
        ),
        sender=Sender(id=str(chat.id), name=chat.first_name),
        kind="stop",
        draft=stopped.draft_id,
        sent_at=now,
    )
