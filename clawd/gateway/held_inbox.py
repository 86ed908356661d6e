"""The inbox as the gateway's doors see it: a token that is held to some conversations begins no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.gateway.problems import RequestRefused
from clawd.messages import InboundMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import Inbox
    from clawd.gateway.auth import TokenStore
    from clawd.messages import AcceptResult, Cursor, Inbound


class HeldInbox:
    """Checks here what each door would have to: whichever a message came through, its account is its token."""

    def __init__(self, inbox: Inbox, tokens: TokenStore) -> None:
        self._inbox = inbox
        self._tokens = tokens

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        """As the inbox does.

        Raises:
            RequestRefused: 403 for a conversation whose name does not begin as the token's have to.
        """
        for event in batch:
            if isinstance(event, InboundMessage) and event.address.bridge == "api":
                self._check(event.address.account, event.address.chat)
        return await self._inbox.accept(batch, cursor)

    async def cursor(self, key: str) -> str | None:
        """As the inbox does."""
        return await self._inbox.cursor(key)

    def _check(self, name: str, conversation: str) -> None:
        token = self._tokens.named(name)
        if token is not None and not token.may_name(conversation):
            raise RequestRefused(
                403,
                f"the token {name} may not use this conversation",
                code="foreign_conversation",
                remedy=f"names of its conversations begin with {token.conversations}",
            )
