"""Cutting a Markdown reply into parts that a platform accepts. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.messages import BridgeCapabilities

RESERVE: Final = 128  # room for the repeat mark
_FILE_FOLLOWS: Final = "\n\n… 📄"
HEAD: Final = 1200  # characters shown of a text that goes out as a file
_FENCE: Final = re.compile(r"^([ \t]*)(`{3,8}|~{3,8})[ \t]*([^\n`]*)$", re.MULTILINE)
_TOP: Final = 3  # spaces in front of a fence that still stands at the top
_GLUE: Final = "\u200d"  # zero-width joiner: 👨‍👩‍👧 is five characters
_CHANGING: Final = frozenset({_GLUE, "\ufe0e", "\ufe0f", "\u20e3"})
_MAX_CLUSTER: Final = 16  # characters of what looks like one


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
        At least one part. A code fence that is cut is closed and opened again in the next part. Of a text
        above `capabilities.document_over` two: a head that ends in a sign that a file follows, and all of it.
    """
    text, limit = text.strip(), capabilities.text_limit - RESERVE
    measure = _MEASURES[capabilities.text_unit]
    if 0 < capabilities.document_over < len(text):
        (head, *_) = split_text(text[:HEAD], min(HEAD, limit) - len(_FILE_FOLLOWS), measure)
        return [head + _FILE_FOLLOWS, text]
    return split_text(text, limit, measure)


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
            if len(fence.indent) <= _TOP:  # a deeper one, in a list, ends with the part
                head = f"{head}\n{fence.indent}{fence.mark}"
            rest = f"{fence.mark}{fence.info}\n{fence.moved_out(rest.removeprefix(chr(10)))}"
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
    return _between_clusters(text, low)


def _between_clusters(text: str, at: int) -> int:
    """Return the last place up to `at` that does not tear what looks like one character."""
    for place in range(at, max(0, at - _MAX_CLUSTER), -1):
        if text[place - 1] != _GLUE and (place == len(text) or not _continues(text[place])):
            return place
    return at


def _continues(char: str) -> bool:
    """Whether a character only changes the one before it: accents, joiners, variants and shades of skin."""
    return char in _CHANGING or unicodedata.combining(char) > 0 or "\U0001f3fb" <= char <= "\U0001f3ff"


@dataclass(frozen=True, slots=True)
class _Fence:
    """A code fence that is open."""

    indent: str
    mark: str
    info: str

    def closes(self, line: re.Match[str]) -> bool:
        """Whether this line, itself a fence, ends it."""
        return line[2].startswith(self.mark) and not line[3].strip()

    def moved_out(self, code: str) -> str:
        """Return what is left of the code, with its end, as it stands outside of the list that it was in."""
        if len(self.indent) <= _TOP:
            return code
        lines = code.split("\n")
        for number, line in enumerate(lines):
            lines[number] = line.removeprefix(self.indent)
            if (found := _FENCE.match(line)) and self.closes(found):
                break
        return "\n".join(lines)


def _open_fence(text: str) -> _Fence | None:
    """Return the code fence that is open at the end of `text`."""
    current: _Fence | None = None
    for match in _FENCE.finditer(text):
        if current is None:
            current = _Fence(match[1], match[2], match[3].strip()[:32])
        elif current.closes(match):
            current = None
    return current
