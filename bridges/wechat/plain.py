"""Markdown as plain text: WeChat renders none of it. Pure."""

from __future__ import annotations

import re
from typing import Final

_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_HEADING: Final = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_BULLET: Final = re.compile(r"^([ \t]*)[-*+][ \t]+(?=\S)")
_RULE: Final = re.compile(r"^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_CODE: Final = re.compile(r"(?<!`)(`++)(.{1,2000}?)(?<!`)\1(?!`)")
_LINK: Final = re.compile(r"!?\[([^\[\]\n]{0,500})\]\(<?([^\s()<>]{1,2000})>?(?:[ \t]+\"[^\"\n]*\")?\)")
_STRONG: Final = re.compile(r"(\*\*|__|~~)(?=\S)(.+?)(?<=\S)\1")
_STAR: Final = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])")
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_HELD: Final = "\ue000"  # private use: marks where words that stay as they are were taken out
_PLACE: Final = re.compile(f"{_HELD}(\\d+){_HELD}")


def to_plain(markdown: str) -> str:
    """Return what a reader without Markdown should see: signs of markup gone, words and code as they were."""
    lines: list[str] = []
    fence = ""
    for line in markdown.replace(_HELD, "").split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            else:
                lines.append(line)
        elif mark and (mark[1][0] == "~" or "`" not in line[mark.end() :]):
            fence = mark[1]
        else:
            lines.append(_plain_line(line))
    return "\n".join(lines).strip("\n")


def _plain_line(line: str) -> str:
    if _RULE.match(line):
        return "———"
    if heading := _HEADING.match(line):
        line = heading[1]
    line = _BULLET.sub(r"\1• ", line)
    if not any(sign in line for sign in "`[*_~\\"):
        return line
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"{_HELD}{len(kept) - 1}{_HELD}"

    line = _CODE.sub(lambda m: keep(m[2].strip() if m[2].strip() else m[2]), line)
    line = _ESCAPE.sub(lambda m: keep(m[1]), line)
    line = _LINK.sub(lambda m: f"{_link_words(m[1])}{keep(m[2])}", line)
    line = _STRONG.sub(r"\2", line)
    line = _STAR.sub(r"\1", line)

    def put_back(text: str) -> str:  # what was kept may hold what was kept before it
        return _PLACE.sub(lambda m: put_back(kept[int(m[1])]), text)

    return put_back(line)


def _link_words(text: str) -> str:
    # The URL stands alone behind a space: apps make a link of it up to the next space.
    return f"{text}: " if text and not text.startswith(("http://", "https://")) else ""
