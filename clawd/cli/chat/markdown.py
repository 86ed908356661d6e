"""One block of Markdown as terminal lines. rich is imported on first use: it costs a tenth of a second."""

from __future__ import annotations

import re
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Final

from clawd.cli.chat.blocks import parser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markdown_it.token import Token
    from rich.console import Console
    from rich.markdown import Markdown

# C0 and C1 controls but for tab and line end, and the marks that turn the direction of writing: text from
# a model must neither steer the terminal (OSC 52 writes the clipboard) nor look like something else.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TRAILING: Final = re.compile(r"[ \t]+((?:\x1b\[[0-9;]*m)*)$")
_BLANK: Final = re.compile(r"(?:[ \t]|\x1b\[[0-9;]*m)*")
_STYLES: Final = {
    "markdown.h1": "bold underline",
    "markdown.h2": "bold underline",
    "markdown.h3": "bold",
    "markdown.h4": "bold",
    "markdown.h5": "bold",
    "markdown.h6": "bold",
    "markdown.code": "cyan",
    "markdown.block_quote": "italic",
    "markdown.hr": "dim",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
    "markdown.item.bullet": "bold",
    "markdown.item.number": "bold",
}
_MIN_COLUMN: Final = 6
"""Cells that a table's column needs to be readable; with less room the table is shown as written."""


def printable(text: str) -> str:
    r"""Return text that can't steer a terminal: `\r\n` becomes `\n`, other controls go."""
    return _UNPRINTABLE.sub("", text.replace("\r\n", "\n"))


class BlockRenderer:
    """Renders blocks for a terminal.

    Args:
        environ: NO_COLOR, CLICOLOR=0, TERM, COLORTERM and COLORFGBG are honoured.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        if environ.get("CLICOLOR") == "0":
            self._environ["NO_COLOR"] = "1"
        self._code_theme = "ansi_light" if _light_background(environ) else "ansi_dark"

    def lines(self, block: str, width: int, *, live: bool = False) -> list[str]:
        """Return the block as lines with ANSI styles.

        Args:
            block: Printable Markdown.
            width: Cells of the terminal.
            live: The lines are going to be replaced, so none may be longer than `width`. Otherwise code
                keeps its long lines, for the terminal to wrap: they can be copied as they are.
        """
        tokens = parser().parse(block)
        _spell_out_links(tokens)
        top = [token for token in tokens if token.level == 0]
        console = self._console(max(width, 1))
        if len(top) == 1 and top[0].type == "fence" and not live:
            from rich.cells import cell_len

            code = top[0].content.expandtabs(4)
            console = self._console(max(width, *(cell_len(line) for line in code.split("\n")), 1))
        if any(token.type == "table_open" for token in tokens) and not _table_fits(tokens, width):
            return _folded(block, width)
        console.print(_renderable()(tokens, self._code_theme))
        file = console.file
        assert isinstance(file, StringIO)  # noqa: S101 - what `_console` made
        return _trimmed(file.getvalue())

    def _console(self, width: int) -> Console:
        from rich.console import Console
        from rich.theme import Theme

        return Console(
            file=StringIO(),
            force_terminal=True,
            width=width,
            theme=Theme(_STYLES),
            highlight=False,
            emoji=False,
            legacy_windows=False,
            _environ=self._environ,
        )


@cache
def _renderable() -> Callable[[list[Token], str], Markdown]:
    """Return rich's Markdown with our dialect and looks; made here so that rich stays out of the start-up."""
    from rich.console import ConsoleOptions, RenderResult
    from rich.markdown import CodeBlock, Heading, HorizontalRule, Markdown, MarkdownElement, TableElement
    from rich.rule import Rule
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    class LeftHeading(Heading):
        LEVEL_ALIGN = dict.fromkeys(Heading.LEVEL_ALIGN, "left")

    class Code(CodeBlock):
        """Between its fences, dim, so that it is seen without colours and copied without padding."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            language = "" if self.lexer_name == "text" else self.lexer_name
            yield Text(f"```{language}", style="dim", no_wrap=True, overflow="ignore")
            code = str(self.text).rstrip("\n")
            yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True, background_color="default")
            yield Text("```", style="dim")

    class Line(HorizontalRule):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            yield Rule(style="markdown.hr", characters="─")

    class FoldingTable(TableElement):
        """Folds long cells where rich would cut them off."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for table in super().__rich_console__(console, options):
                if isinstance(table, Table):
                    for column in table.columns:
                        column.overflow = "fold"
                yield table

    class TerminalMarkdown(Markdown):
        elements: dict[str, type[MarkdownElement]] = {  # type: ignore[misc]  # a ClassVar there
            **Markdown.elements,
            "heading_open": LeftHeading,
            "fence": Code,
            "code_block": Code,
            "hr": Line,
            "table_open": FoldingTable,
        }

        def __init__(self, tokens: list[Token], code_theme: str) -> None:
            super().__init__("", code_theme=code_theme, hyperlinks=False)
            self.parsed = tokens

    return TerminalMarkdown


def _spell_out_links(tokens: Sequence[Token]) -> None:
    """Turn links and images into words: `text (address)`. A hidden address can't be judged or copied.

    A line end stays one: models write verses and lists of facts that way, and none wraps its paragraphs.
    """
    for token in tokens:
        if token.children:
            token.children = _without_links(token.children)
            for child in token.children:
                child.type = "hardbreak" if child.type == "softbreak" else child.type


def _without_links(children: Sequence[Token]) -> list[Token]:
    from markdown_it.token import Token

    out: list[Token] = []
    begun: list[tuple[str, int]] = []
    for child in children:
        if child.type == "link_open":
            begun.append((str(child.attrs.get("href", "")), len(out)))
        elif child.type == "link_close" and begun:
            address, start = begun.pop()
            words = "".join(token.content for token in out[start:])
            if address.removeprefix("mailto:") != words:
                out.append(Token("text", "", 0, content=f" ({address})" if words else address))
        elif child.type == "image":
            label = f"image: {child.content}" if child.content else "image"
            out.append(Token("text", "", 0, content=f"[{label}] ({child.attrs.get('src', '')})"))
        else:
            out.append(child)
    return out


def _table_fits(tokens: Sequence[Token], width: int) -> bool:
    columns = sum(token.type == "th_open" for token in tokens)
    return columns * (_MIN_COLUMN + 2) <= width


def _folded(block: str, width: int) -> list[str]:
    """Return the text as written, cut into lines of `width` cells."""
    from rich.cells import chop_cells

    lines = block.strip("\n").split("\n")
    return [piece for line in lines for piece in (chop_cells(line.expandtabs(4), max(width, 2)) or [""])]


def _trimmed(text: str) -> list[str]:
    """Return the lines without padding at their ends, and without blank lines around them."""
    lines = ["" if _BLANK.fullmatch(line) else _TRAILING.sub(r"\1", line) for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


def _light_background(environ: Mapping[str, str]) -> bool:
    """Whether the terminal says that it is light: COLORFGBG ends in white or light grey."""
    return environ.get("COLORFGBG", "").rpartition(";")[2] in {"7", "15"}
