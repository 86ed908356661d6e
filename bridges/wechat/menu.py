"""The menu under the chat: from the configuration, put there only when it is another one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bridges.wechat.outbound import encoded
from clawd.messages import Cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.wechat.api import WeChatApi
    from bridges.wechat.config import Button, MenuEntry
    from clawd.bridge import Inbox
    from clawd.response import JsonObject


def menu_of(entries: Sequence[MenuEntry]) -> JsonObject:
    """Return the body of `menu/create`. A button that says something has its words as key."""
    return {"button": [_entry(entry) for entry in entries]}


async def bring_up_to_date(api: WeChatApi, inbox: Inbox, app_id: str, entries: Sequence[MenuEntry]) -> bool:
    """Create or delete the menu where it is not the one that was put there last; return whether it was done.

    What `api` raises passes through. Without entries a menu that somebody else made is left alone.
    """
    key = f"wechat:{app_id}:menu"
    wanted = menu_of(entries)
    digest = hashlib.sha256(encoded(wanted)).hexdigest() if entries else ""
    if (await inbox.cursor(key) or "") == digest:
        return False
    if entries:
        await api.create_menu(wanted)
    else:
        await api.delete_menu()
    await inbox.accept([], Cursor(key=key, value=digest))
    return True


def _entry(entry: MenuEntry) -> JsonObject:
    if entry.buttons:
        return {"name": entry.name, "sub_button": [_button(button) for button in entry.buttons]}
    return _button(entry)


def _button(button: Button | MenuEntry) -> JsonObject:
    if button.url is not None:
        return {"type": "view", "name": button.name, "url": button.url}
    return {"type": "click", "name": button.name, "key": button.text or ""}
