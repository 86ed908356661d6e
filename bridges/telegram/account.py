"""Who we are at Telegram, and where a message of Telegram's belongs: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.messages import Address

if TYPE_CHECKING:
    from bridges.telegram.lean import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One bot, and the bridge that asks for its updates."""

    bridge: str
    id: int
    username: str  # without @, any case

    def address_of(self, message: Message) -> Address:
        """Return the conversation of a message: its chat, and in a forum its topic."""
        topic = message.message_thread_id if message.is_topic_message else None
        return Address(
            bridge=self.bridge,
            account=str(self.id),
            chat=str(message.chat.id),
            thread=str(topic) if topic is not None else None,
        )
