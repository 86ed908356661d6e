"""What begins each run, whichever way updates come: who are we, and what do Telegram's apps know of us."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bridges.telegram.account import Account
from bridges.telegram.session import GetMe

if TYPE_CHECKING:
    from bridges.telegram.account import Groups
    from bridges.telegram.lean import Bot, User
    from bridges.telegram.menu import Menu
    from clawd.bridge import Inbox

log = logging.getLogger(__name__)


class SignIn:
    """One bot's."""

    def __init__(self, name: str, bot: Bot, groups: Groups, menu: Menu | None) -> None:
        """Create it; without a menu the one that Telegram has is left alone."""
        self._name = name
        self._bot = bot
        self._groups = groups
        self._menu = menu

    async def account(self, inbox: Inbox) -> Account:
        """Return who we are; raises AiogramError."""
        me = await self._bot(GetMe())
        account = account_of(me, self._name, self._groups)
        if hidden := hidden_groups(account):
            log.warning("groups_hidden", extra={"bridge": self._name, "reason": hidden})
        if self._menu is not None:
            await self._menu.bring(account, inbox)
        return account


def account_of(me: User, bridge: str, groups: Groups) -> Account:
    """Return who we are, of getMe's answer."""
    return Account(
        bridge=bridge,
        id=me.id,
        username=me.username or "",
        sees_all=bool(me.can_read_all_group_messages),
        groups=groups,
    )


def hidden_groups(account: Account) -> str:
    """Return why messages that we should read can't reach us, empty when they can."""
    if account.sees_all or not account.groups.unmentioned:
        return ""
    return (
        "privacy mode hides what does not name the bot, so `without_mention` has no effect: "
        "send /setprivacy to BotFather, then remove the bot from the group and add it again, or make it administrator"
    )
