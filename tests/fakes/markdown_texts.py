"""Markdown as models write it, with the words that people should read: made from a seed."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_WORDS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "naïve",
    "重点",
    "内容",
    "你好",
    "😀",
    "👨‍👩‍👧",
    "🏳️‍🌈",
    "é",
    "x_y_z",
    "C:\\dir",
)
_LITERAL = (
    "<b>bold</b>",
    "<script>",
    "&amp;",
    "2*3*4",
    "2**8",
    "[no",
    "_half",
    "*open",
    "**open",
    "~~open",
    "a < b",
    "x > y",
    "5 * 3",
    "snake_case_name",
    "$x^2$",
    "#tag",
)
_LANGUAGES = ("python", "c++", "js", "", "sh")


@dataclass(frozen=True, slots=True)
class Sample:
    """A source, and what is to be read of it."""

    source: str
    text: str


def bare(text: str) -> str:
    """Return a text without white space, bullets and the lines of tables: what layout may change."""
    return re.sub(r"[\s|+\-—•]+", "", text)


def sample(seed: int, blocks: int = 3) -> Sample:
    """Return the text of this seed."""
    chance = random.Random(seed)
    made = [_block(chance) for _ in range(chance.randint(1, blocks))]
    return Sample("\n\n".join(one.source for one in made), "\n".join(one.text for one in made))


def _block(chance: random.Random) -> Sample:
    return chance.choice((_paragraph, _paragraph, _heading, _quote, _list, _numbers, _fence, _table, _rule))(
        chance
    )


def _inline(chance: random.Random) -> Sample:
    words = " ".join(chance.choices(_WORDS[:12], k=chance.randint(1, 3)))
    match chance.randrange(8):
        case 0:
            return Sample(f"**{words}**", words)
        case 1:
            return Sample(f"*{words}*", words)
        case 2:
            return Sample(f"`{words} x<y`", f"{words} x<y")
        case 3:
            return Sample(f"[{words}](https://a.b/c?d=e&f)", words)
        case 4:
            return Sample(f"~~{words}~~", words)
        case 5:
            literal = chance.choice(_LITERAL)
            return Sample(literal, literal)
        case _:
            return Sample(words, words)


def _line(chance: random.Random) -> Sample:
    pieces = [_inline(chance) for _ in range(chance.randint(1, 8))]
    # A word first and last: a marker there could make another block of it.
    return Sample(
        " ".join(("so", *(piece.source for piece in pieces), "on")),
        " ".join(("so", *(piece.text for piece in pieces), "on")),
    )


def _paragraph(chance: random.Random) -> Sample:
    lines = [_line(chance) for _ in range(chance.randint(1, 3))]
    return Sample("\n".join(one.source for one in lines), "\n".join(one.text for one in lines))


def _heading(chance: random.Random) -> Sample:
    line = _line(chance)
    return Sample("#" * chance.randint(1, 4) + " " + line.source, line.text)


def _quote(chance: random.Random) -> Sample:
    lines = [_line(chance) for _ in range(chance.randint(1, 3))]
    return Sample("\n".join(f"> {one.source}" for one in lines), "\n".join(one.text for one in lines))


def _list(chance: random.Random) -> Sample:
    depth, items = 0, []
    for _ in range(chance.randint(1, 6)):
        line = _line(chance)
        items.append(Sample("  " * depth + "- " + line.source, line.text))
        depth = chance.randint(0, min(depth + 1, 3))
    return Sample("\n".join(one.source for one in items), "\n".join(one.text for one in items))


def _numbers(chance: random.Random) -> Sample:
    items = []
    for number in range(1, chance.randint(2, 5)):
        line = _line(chance)
        items.append(Sample(f"{number}. {line.source}", f"{number}. {line.text}"))
    return Sample("\n".join(one.source for one in items), "\n".join(one.text for one in items))


def _fence(chance: random.Random) -> Sample:
    lines = [f"    if **x** < {n}: # <i> 字 😀 `y`" for n in range(chance.randint(1, 6))]
    code = "\n".join(lines)
    return Sample(f"```{chance.choice(_LANGUAGES)}\n{code}\n```", code)


def _table(chance: random.Random) -> Sample:
    columns, rows = chance.randint(1, 4), chance.randint(1, 4)
    cells = [[chance.choice(_WORDS[:12]) for _ in range(columns)] for _ in range(rows + 1)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|" + "---|" * columns)
    return Sample("\n".join(lines), "\n".join(" ".join(row) for row in cells))


def _rule(chance: random.Random) -> Sample:
    return Sample("---", "")
