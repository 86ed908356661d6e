"""Who we are at Telegram, and where a message of Telegram's belongs: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.messages import Address

if TYPE_CHECKING:
    from bridges.telegram.lean import Message
    from clawd.messages import Sender

GROUPS: Final = frozenset({"group", "supergroup"})
"""The types of chats that more people than the sender read and write in."""

_OF = "@"  # between the topic and the person whose conversation it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """In which groups we are at work, and how."""

    allowed: frozenset[str] = frozenset({"*"})  # chat ids; "*" is every group
    unmentioned: frozenset[str] = frozenset()  # where each message is for us, named or not
    per_user: bool = False  # each person has a conversation of his own

    def admit(self, chat: int) -> bool:
        """Whether we say anything in this group."""
        return bool(self.allowed & {"*", str(chat)})

    def hear_all(self, chat: int) -> bool:
        """Whether nobody has to name us in this group."""
        return bool(self.unmentioned & {"*", str(chat)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One bot, and the bridge that asks for its updates."""

    bridge: str
    id: int
    username: str  # without @, any case
    sees_all: bool = False  # Telegram's privacy mode is off, so groups show us every message
    groups: Groups = Groups()

    def address_of(self, message: Message, sender: Sender) -> Address:
        """Return the conversation of a message: its chat, in a forum its topic, and perhaps its sender."""
        topic = message.message_thread_id if message.is_topic_message else None
        thread = str(topic) if topic is not None else None
        if self.groups.per_user and message.chat.type in GROUPS:
            thread = f"{thread or ''}{_OF}{sender.id}"
        return self.address(str(message.chat.id), thread)

    def address(self, chat: str, thread: str | None = None) -> Address:
        """Return the conversation of a chat, or of one of its threads."""
        return Address(bridge=self.bridge, account=str(self.id), chat=chat, thread=thread)


def topic_of(address: Address) -> int | None:
    """Return the topic that an address names, whoever's conversation it is; raises ValueError."""
    topic = (address.thread or "").partition(_OF)[0]
    return int(topic) if topic else None
