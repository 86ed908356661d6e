"""Who we are at WeCom, and what a message's answer has to name: pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from clawd.messages import Address

_REFERENCE: Final = re.compile(r"([0-9]{10,15}) (\S.{0,255})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One bot, and the bridge that speaks for it."""

    bridge: str
    bot_id: str
    bot_name: str | None = None
    language: str | None = None  # of people, as the platform tells none

    def address_of(self, chat: str) -> Address:
        """Return the conversation of a user or a group."""
        return Address(bridge=self.bridge, account=self.bot_id, chat=chat)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTo:
    """What an answer by `aibot_respond_msg` needs; the journal keeps it as the message's `reference`.

    All of it, the stream's id too, follows from that text: a process that was killed in mid-answer finishes
    the stream which the one before it began.
    """

    req_id: str  # of the callback
    received_ms: int  # wall time; the windows of the platform begin here at the latest

    def __str__(self) -> str:
        return f"{self.received_ms} {self.req_id}"

    @classmethod
    def parse(cls, reference: str | None) -> Self | None:
        """Read what `str` wrote; None for anything else."""
        match = _REFERENCE.fullmatch(reference or "")
        return cls(received_ms=int(match[1]), req_id=match[2]) if match else None

    @property
    def stream_id(self) -> str:
        """The id of the one stream that answers this message."""
        return f"clawd_{hashlib.sha256(self.req_id.encode(errors='replace')).hexdigest()[:32]}"
