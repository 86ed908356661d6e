"""Markdown while it grows: which part of it is finished and may be printed for good. Pure.

Only the last block of a CommonMark text can still change when lines are added, so the parser itself
tells where the sure part ends, and blocks rendered one by one look like the whole rendered at once.
A link whose definition stands in another block is the one thing that is lost.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_AT_ONCE: Final = frozenset({"heading_open", "hr"})
_AT_BLANK: Final = frozenset({"paragraph_open", "table_open", "blockquote_open"})
_CLOSING_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*\n?$")


@cache
def parser() -> MarkdownIt:
    """Return the one Markdown dialect of the terminal: CommonMark, tables, strike-through.

    HTML is text: a terminal can't show it, and dropping it would lose `List<String>`.
    """
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")


class BlockSplitter:
    r"""Takes text in any pieces and gives back whole blocks, in order.

    All blocks and `tail` joined are the text that was fed, to the character. Lines end in `\n` only.
    """

    def __init__(self) -> None:
        self.tail = ""
        """The part that may still change its meaning."""
        self._fence = ""  # the open fence that `tail` consists of: no need to parse until it closes
        self._seen = 0  # how much of `tail` was looked at for its end

    def feed(self, text: str) -> list[str]:
        """Return the blocks that this text finishes."""
        self.tail += text
        complete = self.tail.rfind("\n") + 1
        if complete <= self._seen:
            return []
        new, self._seen = self.tail[self._seen : complete], complete
        if self._fence and not any(_closes(line, self._fence) for line in new.split("\n")):
            return []
        lines = self.tail[:complete].split("\n")[:-1]
        blocks = self._cut(lines)
        self.tail = self.tail[sum(map(len, blocks)) :]
        self._seen = self.tail.rfind("\n") + 1
        return blocks

    def finish(self) -> list[str]:
        """Return what is left as the last block, nothing for blank space, and begin anew."""
        rest, self.tail, self._fence, self._seen = self.tail, "", "", 0
        return [rest] if rest.strip() else []

    def _cut(self, lines: list[str]) -> list[str]:
        """Return the finished blocks at the beginning of these complete lines."""
        tokens: list[Token] = []
        parser().block.parse("\n".join(lines) + "\n", parser(), {}, tokens)
        starts = [token.map[0] for token in tokens if token.level == 0 and token.map]
        if not starts:
            return []
        last = next(token for token in reversed(tokens) if token.level == 0 and token.map)
        bounds = [0, *starts[1:]]
        self._fence = ""
        if _sure(last, lines):
            bounds.append(len(lines))
        elif last.type == "fence":
            self._fence = last.markup
        return ["".join(line + "\n" for line in lines[begin:end]) for begin, end in pairwise(bounds)]


def _sure(last: Token, lines: list[str]) -> bool:
    """Whether the last block can't change any more."""
    if last.type in _AT_ONCE:
        return True
    if last.type in _AT_BLANK:
        return not lines[-1].strip()
    if last.type == "fence" and last.map:
        begin, end = last.map
        return end - begin > 1 and _closes(lines[end - 1], last.markup)
    return False  # a list or indented code goes on behind blank lines


def _closes(line: str, fence: str) -> bool:
    match = _CLOSING_FENCE.match(line)
    return match is not None and match[1].startswith(fence)
