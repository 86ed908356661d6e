"""What begins each run, whichever way updates come: who are we, and what do Telegram's apps know of us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridges.telegram.account import Account
from bridges.telegram.session import GetMe

if TYPE_CHECKING:
    from bridges.telegram.lean import Bot
    from bridges.telegram.menu import Menu
    from clawd.bridge import Inbox


class SignIn:
    """One bot's."""

    def __init__(self, name: str, bot: Bot, menu: Menu | None) -> None:
        """Create it; without a menu the one that Telegram has is left alone."""
        self._name = name
        self._bot = bot
        self._menu = menu

    async def account(self, inbox: Inbox) -> Account:
        """Return who we are; raises AiogramError."""
        me = await self._bot(GetMe())
        account = Account(bridge=self._name, id=me.id, username=me.username or "")
        if self._menu is not None:
            await self._menu.bring(account, inbox)
        return account
