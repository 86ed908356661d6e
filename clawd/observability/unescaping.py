r"""Text as it was before somebody escaped it, and where each character of it stands. Pure.

Whoever quotes a text escapes some of it: JSON (`\"`, `\/`, `\u00e4`), URLs (`%2F`), HTML (`&amp;`), Python (`\xe4`);
an answer that quotes an answer does so twice, and no two libraries escape the same characters. All of that is undone
here, however deep it goes, so that a search need not know who wrote a text. Line ends, and characters that
nobody sees, are left out: they only take a text apart.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_UNSEEN: Final = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028\u2029\u2060\ufeff"
_MARK: Final = re.compile(rf"[%\\&{_UNSEEN}]")  # begins whatever the next one matches, and is found faster
# Whole runs, as a character may be several escapes: bytes of UTF-8, or halves of a surrogate pair. What a run has
# taken it keeps, else the place of each escape would be remembered, with some 200 bytes.
_ESCAPED: Final = re.compile(
    r"(?P<bytes>(?:%(?:25){0,8}[0-9A-Fa-f]{2}|\\{1,64}x[0-9A-Fa-f]{2})++)"
    r"|(?P<units>(?:\\{1,64}u[0-9A-Fa-f]{4})++)|\\{1,64}U(?P<wide>000[0-9A-Fa-f]{5}|0010[0-9A-Fa-f]{4})"
    r"|(?P<html>&(?:amp;){0,8}(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});)"
    r"|\\{1,64}(?P<mark>[\"'/])"
    rf"|(?P<nothing>(?:\\{{1,64}}[nrt]|\x1b\[[0-9;]{{0,20}}m|[{_UNSEEN}])++ *)"
    r"|(?P<stroke>\\+)"
)
_BYTE: Final = re.compile(r"(?:%(?:25)*|\\+x)([0-9A-Fa-f]{2})")
_UNIT: Final = re.compile(r"\\+u([0-9A-Fa-f]{4})")
_MORE: Final = 3  # times, for escapes of one kind within those of another
_AGAIN: Final = re.compile(r"(?<=&)(?:amp;)+(?!$)")


@dataclass(frozen=True, slots=True)
class Unescaped:
    """A text without its escapes; `begins` and `ends` tell where each character of it stood."""

    text: str
    begins: Sequence[int]
    ends: Sequence[int]

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """Return where a piece of it, of at least one character, stood."""
        return self.begins[begin], self.ends[end - 1]


def is_escaped(text: str) -> bool:
    """Whether something in a text may stand for something else; quick."""
    return "%" in text or "\\" in text or "&" in text or not text.isprintable()


def unescape(text: str) -> Unescaped:
    """Return a text without its escapes, nor those that come out when they are undone."""
    found = _once(text)
    for _ in range(_MORE):
        if found.text == text or not is_escaped(found.text):
            break
        text, inner = found.text, _once(found.text)
        found = Unescaped(
            inner.text,
            [found.begins[at] for at in inner.begins],
            [found.ends[at - 1] for at in inner.ends],
        )
    return found


def _once(text: str) -> Unescaped:
    pieces: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    at = searched = 0
    while (mark := _MARK.search(text, max(at, searched))) is not None:
        found = _ESCAPED.match(text, mark.start())
        if found is None:
            searched = mark.end()
            continue
        begin, end = found.span()
        if at < begin:
            pieces.append(text[at:begin])
            begins += range(at, begin)
            ends += range(at + 1, begin + 1)
        at = end
        if found.lastgroup == "nothing":
            continue
        for character, begins_at, ends_at in _characters(found, begin, end):
            pieces.append(character)
            begins.append(begins_at)
            ends.append(ends_at)
    pieces.append(text[at:])
    begins += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    return Unescaped("".join(pieces), begins, ends)


def _characters(found: re.Match[str], begin: int, end: int) -> Iterable[tuple[str, int, int]]:
    """Return the characters that a run of escapes stands for, each with its place."""
    match found.lastgroup:
        case "bytes" if end - begin == 3 and (code := int(found[0][1:], 16)) < 0x80:  # by far the most
            return ((chr(code), begin, end),)
        case "bytes":
            escapes = [(int(each[1], 16), *each.span()) for each in _BYTE.finditer(found.string, begin, end)]
            return _grouped(_of_bytes(bytes(each[0] for each in escapes)), escapes)
        case "units":
            escapes = [(int(each[1], 16), *each.span()) for each in _UNIT.finditer(found.string, begin, end)]
            return _grouped(_of_units([each[0] for each in escapes]), escapes)
        case "html":
            # Of some numbers HTML makes nothing: characters that nobody sees, and what is none.
            return tuple((each, begin, end) for each in html.unescape(_AGAIN.sub("", found[0]))[:1])
        case "wide":
            return ((chr(int(found["wide"], 16)), begin, end),)
        case "mark":
            return ((found["mark"], begin, end),)
        case _:
            return (("\\", begin, end),)


def _grouped(
    characters: Iterator[tuple[str, int]], escapes: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[str, int, int]]:
    at = 0
    for character, count in characters:
        yield character, escapes[at][1], escapes[at + count - 1][2]
        at += count


def _of_bytes(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield characters and of how many bytes each is: UTF-8, or where it is none, Latin-1 as Python escapes it."""
    try:
        for character in data.decode():
            yield character, len(character.encode())
    except UnicodeDecodeError:
        for byte in data:
            yield chr(byte), 1


def _of_units(units: Sequence[int]) -> Iterator[tuple[str, int]]:
    at = 0
    while at < len(units):
        high, low = units[at], units[at + 1] if at + 1 < len(units) else 0
        if 0xD800 <= high < 0xDC00 <= low < 0xE000:
            yield chr(0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)), 2
            at += 2
        else:
            yield chr(high), 1
            at += 1
