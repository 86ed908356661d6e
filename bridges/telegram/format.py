"""From Markdown to Telegram's text and entities: pure, and never a request that the server refuses.

Text goes out with entities and without a parse mode, because what a model writes breaks Telegram's own
markup. Markers that are not balanced, HTML and escapes stay as they were written.

Source: Bot API, "Formatting options": offsets count UTF-16 units; bold, italic and strikethrough do not
mix with code and pre, code and pre contain nothing, blockquotes do not nest.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt  # comes with rich

from bridges.telegram.table import Table
from bridges.telegram.units import TEXT_LIMIT, utf16_len

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_MAX_NESTING: Final = 40
_MAX_BRACKETS: Final = 1000  # looking for links takes time by the square of their number
_DIGITS: Final = frozenset(string.digits)
_WORD: Final = frozenset(string.digits + string.ascii_letters)
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9_+#.-]{1,40}")
_CODE: Final = frozenset({"code", "pre"})
_STYLES: Final = {"strong": "bold", "em": "italic", "s": "strikethrough", "heading": "bold"}
_LINKS: Final = frozenset({"http", "https", "mailto", "tg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A stretch of text with a meaning; offset and length in UTF-16 units."""

    type: str
    offset: int
    length: int
    url: str | None = None  # of a text_link
    language: str | None = None  # of a pre


@dataclass(frozen=True, slots=True)
class Formatted:
    """Text as people read it, without white space at its ends, and its entities in order."""

    text: str
    entities: tuple[Entity, ...] = ()


def format_markdown(source: str, limit: int = TEXT_LIMIT) -> Formatted:
    """Return the text with entities.

    Args:
        source: Markdown as models write it, whole or cut off anywhere.
        limit: Greatest length in UTF-16 units. A source within it never grows beyond it: where aligned
            tables would be too long they stay ragged, and where nothing helps the source goes out as it is.
    """
    if source.count("[") > _MAX_BRACKETS:
        return Formatted(source.strip())
    tokens = _parser().parse(source)
    # The parser leaves out what is nested deeper than it goes; plain text loses nothing.
    if all(token.level < _MAX_NESTING - 1 for token in tokens):
        for aligned in (True, False):
            result = _Writer(aligned=aligned).write(tokens)
            if result.text and utf16_len(result.text) <= limit:
                return result
    return Formatted(source.strip())


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    # A line of dashes is a rule and no heading; definitions and entities would vanish from the text.
    parser.inline.ruler.before("emphasis", "product", _product)
    parser.disable(["lheading", "reference", "entity", "html_block", "html_inline"])
    return parser


def _product(state: StateInline, silent: bool) -> bool:
    """Keep `2*3*4` and `2**8` as they are: they are sums far more often than emphasis."""
    source, start = state.src, state.pos
    if source[start] != "*" or start == 0:
        return False
    end = start
    while end < state.posMax and source[end] == "*":
        end += 1
    if end == state.posMax:
        return False
    left, right = source[start - 1], source[end]
    digits = left in _DIGITS and right in _DIGITS
    if not digits and not (end - start == 1 and left in _WORD and right in _WORD):
        return False
    if not silent:
        state.pending += source[start:end]
    state.pos = end
    return True


@dataclass(slots=True)
class _Open:
    """An entity that has begun; without a type it is only there to be closed."""

    type: str
    offset: int
    url: str | None = None


class _Writer:
    """Writes tokens one after another; a new one for each text."""

    def __init__(self, *, aligned: bool) -> None:
        self._aligned = aligned
        self._pieces: list[str] = []
        self._length = 0
        self._entities: list[Entity] = []
        self._open: list[_Open] = []
        self._lists = 0
        self._item: Token | None = None  # a list item that has nothing in it yet
        self._quotes = 0
        self._quote_waits = False  # a quote that has nothing in it yet
        self._last_line = 0  # where the block before ended in the source
        self._table: Table | None = None

    def write(self, tokens: Sequence[Token]) -> Formatted:
        """Return the whole."""
        for token in tokens:
            self._block(token)
        return _trimmed("".join(self._pieces), self._entities)

    # --- blocks ---------------------------------------------------------------------------------------

    def _block(self, token: Token) -> None:
        match token.type:
            case "inline" if self._table is not None:
                self._table.add_cell(_plain(token.children or ()))
            case "inline":
                self._inline(token.children or ())
            case "paragraph_open":
                self._start(token)
            case "heading_open":
                self._start(token)
                self._begin("heading")
            case "heading_close":
                self._end()
            case "fence" | "code_block":
                self._start(token, indent=False)
                info = token.info.split()
                language = info[0] if info and _LANGUAGE.fullmatch(info[0]) else None
                self._code(token.content.removesuffix("\n"), "pre", language)
            case "hr":
                self._start(token)
                self._text("———")
            case _:
                self._container(token)

    def _container(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                self._lists += 1
            case "bullet_list_close" | "ordered_list_close":
                self._lists -= 1
            case "list_item_open":
                self._item = token
            case "list_item_close" if self._item is not None:
                self._start(self._item)
            case "blockquote_open":
                self._quotes += 1
                self._quote_waits = self._quote_waits or self._quotes == 1
            case "blockquote_close":
                self._quotes -= 1
                if self._quotes == 0:
                    if not self._quote_waits:
                        self._end()
                    self._quote_waits = False
            case "table_open":
                self._start(token, indent=False)
                self._table = Table()
            case "tr_open" if self._table is not None:
                self._table.add_row()
            case "table_close" if self._table is not None:
                table, self._table = self._table, None
                self._code(table.render(aligned=self._aligned), "pre")

    def _start(self, token: Token, *, indent: bool = True) -> None:
        """Write what stands before a block: line ends as in the source, indentation, bullet or number."""
        start, end = token.map or (self._last_line, self._last_line)
        if self._pieces:
            self._text("\n\n" if start > self._last_line else "\n")
        self._last_line = end
        if self._quote_waits:
            self._quote_waits = False
            self._begin("blockquote")
        if self._item is not None:
            mark = f"{self._item.info}{self._item.markup}" if self._item.info else "•"
            self._text("  " * (self._lists - 1) + mark + " ")
            self._item = None
        elif indent:
            self._text("  " * self._lists)

    # --- inline ---------------------------------------------------------------------------------------

    def _inline(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            match token.type:
                case "softbreak" | "hardbreak":
                    self._text("\n" + "  " * self._lists)
                case "code_inline":
                    self._code(token.content, "code")
                case "strong_open" | "em_open" | "s_open":
                    self._begin(token.type.removesuffix("_open"))
                case "strong_close" | "em_close" | "s_close":
                    self._end()
                case "link_open":
                    self._begin("text_link", str(token.attrGet("href") or ""))
                case "link_close":
                    self._end_link()
                case "image":
                    self._begin("text_link", str(token.attrGet("src") or ""))
                    self._text(token.content or str(token.attrGet("src") or ""))
                    self._end_link()
                case _:
                    self._text(token.content)

    def _text(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._length += utf16_len(text)

    def _begin(self, name: str, url: str | None = None) -> None:
        kind = _STYLES.get(name, name)
        again = any(entity.type == kind for entity in self._open)  # bold in a heading is bold once
        self._open.append(_Open("" if again else kind, self._length, url))

    def _end(self) -> None:
        self._emit(self._open.pop())

    def _end_link(self) -> None:
        """Close a link; where its target can't be one, write the target out."""
        link = self._open.pop()
        url = link.url or ""
        if self._length == link.offset:
            self._text(url)
        elif urlsplit(url).scheme in _LINKS and not any(char.isspace() for char in url):
            self._emit(link)
        elif url:
            self._text(f" ({url})")

    def _emit(self, entity: _Open) -> None:
        if entity.type and self._length > entity.offset:
            length = self._length - entity.offset
            self._entities.append(
                Entity(type=entity.type, offset=entity.offset, length=length, url=entity.url)
            )

    def _code(self, text: str, kind: str, language: str | None = None) -> None:
        """Write code; styles around it pause, as they may not contain it, and a link wins over it."""
        if not text or any(entity.type == "text_link" for entity in self._open):
            self._text(text)
            return
        paused = [entity for entity in self._open if entity.type != "blockquote"]
        for entity in paused:
            self._emit(entity)
        start = self._length
        self._text(text)
        length = self._length - start
        self._entities.append(Entity(type=kind, offset=start, length=length, language=language))
        for entity in paused:
            entity.offset = self._length


def _plain(tokens: Sequence[Token]) -> str:
    """Return inline tokens as one line without styles."""
    return "".join(" " if token.type in {"softbreak", "hardbreak"} else token.content for token in tokens)


def _trimmed(text: str, entities: Sequence[Entity]) -> Formatted:
    """Cut white space off both ends, as the server would, and move the entities with it."""
    kept = text.strip()
    cut, size = utf16_len(text[: len(text) - len(text.lstrip())]), utf16_len(kept)
    moved = []
    for entity in entities:
        start = max(0, entity.offset - cut)
        end = min(size, entity.offset + entity.length - cut)
        if end > start:
            moved.append(replace(entity, offset=start, length=end - start))
    outer_first = sorted(moved, key=lambda entity: (entity.offset, -entity.length, entity.type in _CODE))
    return Formatted(kept, tuple(outer_first))
