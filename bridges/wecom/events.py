"""From event callbacks to what they mean here: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridges.wecom.cards import read_key
from bridges.wecom.inbound import Odd, chat_of, event_id, sender_of, sent_at, unreadable
from clawd.messages import InboundControl

if TYPE_CHECKING:
    from datetime import datetime

    from bridges.wecom.account import Account
    from bridges.wecom.frames import Frame
    from clawd.messages import Unreadable
    from clawd.response import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A pressed button under a question of ours; its card can be changed for five seconds."""

    control: InboundControl
    req_id: str
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """Somebody opened the chat, for the first time that day; a welcome is taken for five seconds."""

    req_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kicked:
    """Another connection of this bot took over; the platform closes this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Somebody rated an answer."""

    user: str


Event = Press | Entered | Kicked | Feedback


def is_kick(frame: Frame) -> bool:
    """Whether this callback says that another connection took over; tolerant, for much hangs on it."""
    event = frame.body.get("event")
    return isinstance(event, dict) and event.get("eventtype") == "disconnected_event"


def read_event(frame: Frame, account: Account, now: datetime) -> Event | Unreadable | None:
    """Return what an `aibot_event_callback` means, None for what is nothing to us."""
    if is_kick(frame):
        return Kicked()
    try:
        return _event(frame, account, now)
    except Odd as odd:
        return unreadable(frame.body, account, str(odd))


def _event(frame: Frame, account: Account, now: datetime) -> Event | None:
    body = frame.body
    event = body.get("event")
    if not isinstance(event, dict):
        raise Odd("no event")
    match event.get("eventtype"):
        case "enter_chat":
            return Entered(req_id=frame.req_id)
        case "template_card_event":
            return _press(frame, event, account, now)
        case "feedback_event":
            return Feedback(user=sender_of(body, account).id)
        case str():
            return None  # a kind that came after this was written
        case _:
            raise Odd("no eventtype")


def _press(frame: Frame, event: JsonObject, account: Account, now: datetime) -> Press | None:
    """Return the press; None for a button that we never made."""
    card = event.get("template_card_event", event)  # some versions have its fields in the event itself
    if not isinstance(card, dict):
        raise Odd("a card event without card")
    data = read_key(card.get("event_key"))
    task_id = card.get("task_id")
    if data is None or not isinstance(task_id, str):
        return None
    word, question = data
    sender = sender_of(frame.body, account)
    chat, _ = chat_of(frame.body, sender)
    control = InboundControl(
        id=event_id(frame.body, account),
        address=account.address_of(chat),
        sender=sender,
        kind="deny" if word == "deny" else "approve",
        question=question,
        always="" if word == "always" else None,
        sent_at=sent_at(frame.body, now),
    )
    return Press(control=control, req_id=frame.req_id, task_id=task_id)
