"""Where a kind of call was refused for good: it is not tried there again while this bridge lives."""

from __future__ import annotations

from typing import Final

_MAX_CHATS: Final = 2000


class Refusals:
    """Remembers chats, and whether the server does not know the method at all."""

    def __init__(self) -> None:
        self._everywhere = False
        self._chats: dict[int | str, None] = {}  # in the order of their refusals

    def cover(self, chat: int | str) -> bool:
        """Whether a call of this kind to this chat would be refused."""
        return self._everywhere or chat in self._chats

    def everywhere(self) -> None:
        """The server knows no such call."""
        self._everywhere = True

    def add(self, chat: int | str) -> None:
        """This chat takes no such call."""
        self._chats[chat] = None
        if len(self._chats) > _MAX_CHATS:
            del self._chats[next(iter(self._chats))]
