"""UTF-16 code units: the unit of every limit and offset at Telegram (😀 is 2, 字 is 1)."""

from __future__ import annotations

from typing import Final

TEXT_LIMIT: Final = 4096
"""Greatest length of one message's text. Source: Bot API, sendMessage, field `text`."""


def utf16_len(text: str) -> int:
    """Return the length of `text` in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_slice(text: str, offset: int, length: int) -> str:
    """Return the part that starts at `offset` and has `length` units; half characters are dropped."""
    raw = text.encode("utf-16-le", "surrogatepass")[2 * offset : 2 * (offset + length)]
    return raw.decode("utf-16-le", "ignore")


def utf16_cut(text: str, limit: int) -> str:
    """Return the longest beginning of `text` within `limit` units, never half a character."""
    return text if utf16_len(text) <= limit else utf16_slice(text, 0, limit)
