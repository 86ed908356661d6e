"""The menu of commands that Telegram's apps show behind "/": said once, and again when it changed.

Source: Bot API, setMyCommands and BotCommandScope; apps show the list of the narrowest scope in the user's language.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from bridges.telegram.lean import AiogramError, SetMyCommands
from clawd.errors import InboxFull, JournalUnavailable
from clawd.messages import Cursor
from clawd.texts import say

if TYPE_CHECKING:
    from bridges.telegram.account import Account
    from bridges.telegram.lean import Bot
    from clawd.bridge import Inbox

log = logging.getLogger(__name__)

Scope = Literal["all_private_chats", "all_group_chats"]

COMMANDS: Final[dict[Scope, tuple[str, ...]]] = {
    "all_private_chats": (
        "new",
        "stop",
        "retry",
        "undo",
        "compact",
        "approve",
        "deny",
        "model",
        "lang",
        "status",
        "usage",
        "help",
    ),
    "all_group_chats": ("new", "stop", "retry", "undo", "approve", "deny", "model", "status", "help"),
}
"""What is offered where; every other command can be typed all the same."""

_LANGUAGES: Final = (("en", None), ("zh", "zh"))  # English is for everybody who has no list of his own


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list, for people with this language in chats of this kind."""

    scope: Scope
    language: str | None  # ISO 639-1; None: whoever has no other
    commands: tuple[tuple[str, str], ...]  # names and descriptions


def listings() -> tuple[Listing, ...]:
    """Return all lists, as the catalogue of texts says them."""
    return tuple(
        Listing(
            scope=scope,
            language=code,
            commands=tuple((name, say(f"command_{name}", language)) for name in names),
        )
        for scope, names in COMMANDS.items()
        for language, code in _LANGUAGES
    )


class Menu:
    """The menu of one bot. Nothing of it is promised, and nothing of it fails."""

    def __init__(self, name: str, bot: Bot, *, timeout_s: int) -> None:
        self._name = name
        self._bot = bot
        self._timeout_s = timeout_s

    async def bring(self, account: Account, inbox: Inbox) -> None:
        """Say the lists to Telegram unless it was told just these; what failed is tried at the next start."""
        lists = await asyncio.to_thread(listings)  # reads the catalogue from its file
        wanted = hashlib.sha256(json.dumps([_said(one) for one in lists]).encode()).hexdigest()
        key = f"telegram:{account.id}:commands"
        try:
            if await inbox.cursor(key) == wanted:
                return
            for one in lists:
                await self._bot(SetMyCommands.model_validate(_said(one)), request_timeout=self._timeout_s)
            await inbox.accept((), Cursor(key=key, value=wanted))
        except (AiogramError, InboxFull, JournalUnavailable) as error:
            reason = {"bridge": self._name, "reason": type(error).__name__}
            log.info("commands_not_told", extra=reason)


def _said(listing: Listing) -> dict[str, object]:
    """Return a list as setMyCommands takes it."""
    commands = [{"command": name, "description": text} for name, text in listing.commands]
    said: dict[str, object] = {"scope": {"type": listing.scope}, "commands": commands}
    return said if listing.language is None else said | {"language_code": listing.language}
