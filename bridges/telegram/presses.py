"""Pressed buttons, read from callback queries: pure, and tested with recorded payloads.

Source: Bot API, CallbackQuery and InaccessibleMessage, whose `date` is always 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.keyboard import read_data
from bridges.telegram.lean import Message, User
from clawd.messages import InboundControl, MessageId, Sender

if TYPE_CHECKING:
    from datetime import datetime

    from bridges.telegram.account import Account

_READ_OF_MESSAGE: Final = frozenset({"message_id", "date", "chat", "is_topic_message", "message_thread_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A press that waits for an answer, whatever it means to us.

    The other fields are set when it answers a question of ours: the event that it became, and the message
    that its button hangs on.
    """

    query: str
    event: MessageId | None = None
    chat: int | None = None
    message: int | None = None


def read_press(raw: Any, event: InboundControl | None) -> Press | None:
    """Return the press in an update's `callback_query`, None when there is none that could be answered."""
    query = raw.get("id") if isinstance(raw, dict) else None
    if not isinstance(query, str) or not query:
        return None
    if event is None:
        return Press(query=query)
    return Press(
        query=query, event=event.id, chat=int(event.address.chat), message=raw["message"]["message_id"]
    )


def answers_ours(raw: Any) -> bool:
    """Whether a `callback_query` may answer a question of ours.

    It does not when we never gave out its data, when its message is too old to have content, and when it
    was sent through another bot's inline mode.
    """
    if not isinstance(raw, dict) or read_data(raw.get("data")) is None:
        return False
    message = raw.get("message")
    return isinstance(message, dict) and message.get("date") != 0


def read_answer(raw: Any, event_id: str, account: Account, now: datetime) -> InboundControl:
    """Return the answer in a `callback_query` of which `answers_ours` is true.

    A press carries no time of its own, so it gets the one at which it is read.

    Raises:
        ValidationError: it can't be read where it was pressed, or by whom.
    """
    data = read_data(raw["data"])
    assert data is not None  # noqa: S101 - as `answers_ours` said
    word, question = data
    message = Message.model_validate({n: v for n, v in raw["message"].items() if n in _READ_OF_MESSAGE})
    user = User.model_validate(raw.get("from"))
    sender = Sender(id=str(user.id), name=user.full_name, language=user.language_code)
    return InboundControl(
        id=MessageId(event_id),
        address=account.address_of(message, sender),
        sender=sender,
        kind="deny" if word == "deny" else "approve",
        question=question,
        always="" if word == "always" else None,
        sent_at=now,
    )
