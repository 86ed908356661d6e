"""Cutting a Markdown reply into parts that a platform accepts. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.messages import BridgeCapabilities

RESERVE: Final = 128  # room for the repeat mark
_FENCE: Final = re.compile(r"^ {0,3}(`{3,8}|~{3,8})[ \t]*([^\n`]*)$", re.MULTILINE)


def utf16_units(text: str) -> int:
    """Return the length in UTF-16 code units, as Telegram counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _utf8_bytes(text: str) -> int:
    return len(text.encode())


_MEASURES: Final[dict[str, Callable[[str], int]]] = {
    "utf16": utf16_units,
    "utf8": _utf8_bytes,
    "chars": len,
}


def split_reply(text: str, capabilities: BridgeCapabilities) -> list[str]:
    """Return the parts of a reply, in order, each with room for the repeat mark.

    Args:
        text: Markdown.
        capabilities: Of the bridge that will carry it; its limit must be at least 512 units.

    Returns:
        At least one part. A code fence that is cut is closed and opened again in the next part.
    """
    return split_text(text, capabilities.text_limit - RESERVE, _MEASURES[capabilities.text_unit])


def split_text(text: str, limit: int, measure: Callable[[str], int] = len) -> list[str]:
    """Cut Markdown into chunks, preferring paragraph, then line, then word ends.

    Args:
        text: Markdown; surrounding white space is dropped.
        limit: Greatest chunk, as `measure` counts it, at least 64.
        measure: Length of a text; must grow with every character.

    Raises:
        ValueError: `limit` is below 64.
    """
    if limit < 64:
        raise ValueError(f"a limit of {limit} leaves no room for text")
    rest, parts = text.strip(), []
    while measure(rest) > limit:
        cut = _cut_position(rest, limit - 16, measure)
        head, rest = rest[:cut].rstrip(), rest[cut:]
        fence = _open_fence(head)
        if fence is None:
            rest = rest.lstrip("\n") if rest[:1] == "\n" else rest.lstrip()
        else:
            mark, info = fence
            head = f"{head}\n{mark}"
            rest = f"{mark}{info}\n{rest.removeprefix(chr(10))}"
        parts.append(head)
    if rest or not parts:
        parts.append(rest)
    return parts


def _cut_position(text: str, limit: int, measure: Callable[[str], int]) -> int:
    """Return where to cut: behind the last good break whose head fits, always at least 1."""
    low, high = 1, min(len(text), limit)
    while low < high:  # the longest head that fits; `measure` is monotonic
        middle = (low + high + 1) // 2
        if measure(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    head = text[:low]
    for separator in ("\n\n", "\n", " "):
        position = head.rfind(separator)
        if position >= low // 3:  # a tiny part is worse than a plain cut
            return position + len(separator)
    return low


def _open_fence(text: str) -> tuple[str, str] | None:
    """Return (mark, info string) of the code fence that is open at the end of `text`."""
    current: tuple[str, str] | None = None
    for match in _FENCE.finditer(text):
        mark, info = match[1], match[2].strip()
        if current is None:
            current = (mark, info[:32])
        elif mark[0] == current[0][0] and len(mark) >= len(current[0]) and not info:
            current = None
    return current
