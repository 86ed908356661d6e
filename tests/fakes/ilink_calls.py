"""What the fake iLink API remembers: requests, messages that arrived, and each user's chat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Call:
    """One request, and how it ended."""

    name: str
    headers: dict[str, str]
    body: dict[str, Any]
    outcome: str = "open"


@dataclass(slots=True)
class Sent:
    """One message that arrived at a user."""

    user: str
    client_id: str
    item: dict[str, Any]
    context_token: str
    file: bytes | None = None

    @property
    def text(self) -> str:
        return str(self.item.get("text_item", {}).get("text", ""))


@dataclass(slots=True)
class Chat:
    """What the server knows of one user's chat."""

    tokens: list[str] = field(default_factory=list)
    used: int = 0  # messages since the user's last one
    closed: bool = False  # the window is over
