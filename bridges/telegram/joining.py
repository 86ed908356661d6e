"""We were added to a group: say once how to speak to us there, because Telegram does not.

Source: Bot API, ChatMemberUpdated; User, field `can_read_all_group_messages`. With privacy mode on a bot is shown
commands, replies to it and messages that name it, unless it is an administrator.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.account import GROUPS
from bridges.telegram.lean import AiogramError
from bridges.telegram.session import PostText
from clawd.messages import Cursor
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.telegram.account import Account
    from bridges.telegram.lean import Bot
    from clawd.bridge import Inbox

log = logging.getLogger(__name__)

_IN: Final = frozenset({"member", "administrator"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A group that we are in from now on."""

    chat: int
    language: str | None  # of who added us
    administrator: bool


def read_joined(raw: Any, account: Account) -> Joined | None:
    """Return the group of an update's `my_chat_member`; None when we are not new in it or not at work there."""
    match raw:
        case {
            "chat": {"id": int(chat), "type": str(kind)},
            "old_chat_member": {"status": str(before)},
            "new_chat_member": {"status": str(now)},
        } if kind in GROUPS and before not in _IN and now in _IN and account.groups.admit(chat):
            adder = raw.get("from")
            language = adder.get("language_code") if isinstance(adder, dict) else None
            return Joined(
                chat=chat,
                language=language if isinstance(language, str) else None,
                administrator=now == "administrator",
            )
        case _:
            return None


def words_for(joined: Joined, account: Account) -> str:
    """Return what a group is told."""
    sees_all = account.sees_all or joined.administrator
    if not account.groups.hear_all(joined.chat):
        key = "group_hello"
    else:
        key = "group_hello_all" if sees_all else "group_hello_hidden"
    return say(key, joined.language, name=account.username)


class Hello:
    """Greets groups. Nothing of it is promised, but that it never comes twice in one group."""

    def __init__(self, name: str, bot: Bot, *, timeout_s: int) -> None:
        self._name = name
        self._bot = bot
        self._timeout_s = timeout_s

    async def say(self, joined: Sequence[Joined], account: Account, inbox: Inbox) -> None:
        """Greet those groups that were not; raises as the inbox does."""
        for group in joined:
            key = f"telegram:{account.id}:hello:{group.chat}"
            if await inbox.cursor(key) is not None:
                continue
            await inbox.accept((), Cursor(key=key, value="said"))
            hello = PostText.model_validate({"chat_id": group.chat, "text": words_for(group, account)})
            try:
                await self._bot(hello, request_timeout=self._timeout_s)
            except AiogramError as error:
                reason = {"bridge": self._name, "reason": type(error).__name__}
                log.info("group_not_greeted", extra=reason)
