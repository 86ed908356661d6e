"""Leases for tests of the agent's pure parts."""

from __future__ import annotations

from typing import Any

from clawd.ids import turn_id
from clawd.journal.base import ConversationSettings, Lease, Queued
from tests.fakes.inner import message


def lease(text: str = "hi", *, seq: int = 1, chat: str = "1", **fields: Any) -> Lease:
    """Return a lease on a turn that answers `text`; fields replace its own."""
    asked = message(text, chat=chat)
    values: dict[str, Any] = {
        "conv": 1,
        "seq": seq,
        "epoch": 1,
        "owner": "me",
        "attempts": 1,
        "turn": turn_id("x", 1, seq),
        "address": asked.address,
        "message": asked,
        "right": "tools",
        "settings": ConversationSettings(),
        **fields,
    }
    return Lease(**values)


def queued(
    seq: int, text: str = "more", *, sender: str = "42", right: Any = "tools", **fields: Any
) -> Queued:
    """Return a message behind it."""
    return Queued(seq=seq, message=message(text, sender=sender, **fields), right=right)
