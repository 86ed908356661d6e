"""A bearer token as requests are checked against it, and what it allows. Pure.

Of a token only its SHA-256 is kept. A slow hash protects passwords, which people choose and others guess; a
token is 256 random bits, which nobody guesses, and a slow hash would cost every request its time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.config.schema import AppConfig, TokenConfig, TokenScope

_BRIDGE: Final = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as requests are checked against it; the value itself is not kept."""

    name: str
    scopes: frozenset[TokenScope]
    digest: bytes  # SHA-256 of the token
    conversations: str = ""  # what names of its conversations begin with
    expires_at: datetime | None = None
    rate: str | None = None  # requests, such as 60/min
    day: int | None = None  # messages a day
    source: Literal["config", "created", "generated"] = "config"
    created_at: datetime | None = None  # of a created one

    def may_name(self, conversation: str) -> bool:
        """Whether the token may know of a conversation of this name, as far as its prefix goes."""
        return conversation.startswith(self.conversations)

    def may_read(self, bridge: str, account: str, conversation: str) -> bool:
        """Whether what happens at this address is the token's business."""
        if bridge != _BRIDGE and self.conversations:
            return False  # names that others chose say nothing
        return self.may_name(conversation) and (
            (bridge, account) == (_BRIDGE, self.name) or not self.scopes.isdisjoint(("read", "admin"))
        )

    def may_change(self, bridge: str, account: str, conversation: str) -> bool:
        """Whether the token may stop or answer what happens at this address."""
        own = (bridge, account) == (_BRIDGE, self.name) and self.may_name(conversation)
        return own or "admin" in self.scopes

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


def configured(config: TokenConfig) -> Token:
    """Return a token of the configuration."""
    return Token(
        name=config.name,
        scopes=frozenset(config.scopes),
        digest=digest_of(config.token.reveal()),
        conversations=config.conversations,
        expires_at=config.expires,
        rate=config.rate,
        day=config.day,
    )


def app_token(config: AppConfig) -> Token:
    """Return an app as a token of its own, which is only valid beside the app's id."""
    return Token(
        name=config.app_id,
        scopes=frozenset({"chat"}),
        digest=digest_of(config.token.reveal()),
        conversations=config.conversations,
    )


def digest_of(value: str) -> bytes:
    """Return the SHA-256 of a token's value, as a request brings it."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
