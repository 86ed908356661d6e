"""The command menus of the fake Bot API. Source: https://core.telegram.org/bots/api#setmycommands"""

from __future__ import annotations

import re
from typing import Any, Final

from tests.fakes.bot_api_rules import bad, utf16

_NAME: Final = re.compile(r"[a-z0-9_]{1,32}")
_SCOPES: Final = frozenset({"default", "all_private_chats", "all_group_chats", "all_chat_administrators"})


class CommandMenu:
    """What apps show behind "/", by scope and language; "" is everybody's language."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, str], dict[str, str]] = {}

    def set(self, params: dict[str, Any]) -> bool:
        """setMyCommands."""
        scope = (params.get("scope") or {"type": "default"}).get("type")
        if scope not in _SCOPES:
            raise bad("can't parse BotCommandScope: unsupported type")
        commands = params.get("commands")
        if not isinstance(commands, list) or len(commands) > 100:
            raise bad("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not _NAME.fullmatch(command.get("command", "")):
                raise bad("BOT_COMMAND_INVALID")
            if not 1 <= utf16(command.get("description", "")) <= 256:
                raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
        language = params.get("language_code", "")
        if language and not re.fullmatch(r"[a-z]{2}", language):
            raise bad("LANGUAGE_CODE_INVALID")
        self.shown[scope, language] = {one["command"]: one["description"] for one in commands}
        return True
