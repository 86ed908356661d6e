"""Replies in a foreign shape: a JSON structure whose strings may have {text} and its like in them. Pure.

Values are put into the structure and not into its text, so nothing that a model writes can break out of a
string.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from clawd.config.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.response import JsonValue

NAMES: Final = (
    "text",
    "conversation",
    "in_reply_to",
    "seq",
    "id",
    "part",
    "final",
    "type",
)
PLAIN_NAMES: Final = ("seq", "id", "part", "final", "type")
"""Those whose values are always short ASCII: what a header can hold."""

_HOLE: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A string with names in braces; `{{` and `}}` stand for braces."""

    parts: tuple[str | _Hole, ...]

    @classmethod
    def parse(cls, text: str, names: tuple[str, ...] = NAMES) -> TextTemplate:
        """Read a template; raises ValueError for a name that is not one of `names`."""
        parts: list[str | _Hole] = []
        end = 0
        for hole in _HOLE.finditer(text):
            parts.append(text[end : hole.start()])
            end = hole.end()
            name = hole[1]
            if name is None:
                parts.append(hole[0][0])
                continue
            if name not in names:
                hint = did_you_mean(name, names) or f"; known: {', '.join(names)}."
                raise ValueError(f"there is no {{{name}}} here{hint} Braces themselves are {{{{ and }}}}")
            parts.append(_Hole(name))
        parts.append(text[end:])
        return cls(tuple(part for part in parts if part))

    def fill(self, values: Mapping[str, JsonValue]) -> JsonValue:
        """Return the value of the only name, with its type, or the text."""
        match self.parts:
            case (_Hole(name),):
                return values[name]
            case _:
                return self.text(values)

    def text(self, values: Mapping[str, JsonValue]) -> str:
        """Return the text; null is empty."""
        return "".join(part if isinstance(part, str) else _plain(values[part.name]) for part in self.parts)

    def in_url(self, values: Mapping[str, JsonValue]) -> str:
        """Return the URL: values are quoted, so that they stay within the path or the query that they are in.

        A `/` stays, as conversations may be paths of the service.

        Raises:
            ValueError: a value is empty, or the path has a step such as `..` in it.
        """
        filled = [part if isinstance(part, str) else _in_url(part.name, values) for part in self.parts]
        url = "".join(filled)
        if {".", ".."} & set(urlsplit(url).path.split("/")):
            raise ValueError("the path has a step such as .. in it")
        return url


@dataclass(frozen=True, slots=True)
class _Hole:
    name: str


Structure = TextTemplate | int | float | bool | None | tuple["Structure", ...] | dict[str, "Structure"]


def parse_structure(value: object, depth: int = 0) -> Structure:
    """Read a JSON structure with templates for its strings; raises ValueError."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, str):
        return TextTemplate.parse(str(value))
    if isinstance(value, dict):
        return {str(key): parse_structure(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return tuple(parse_structure(part, depth + 1) for part in value)
    if value is None or isinstance(value, TextTemplate | int | float | bool):
        return value
    raise ValueError("expected text, a number, true, false, null, a list or a section")


def fill_structure(structure: Structure, values: Mapping[str, JsonValue]) -> JsonValue:
    """Return the structure with its templates filled in."""
    if isinstance(structure, TextTemplate):
        return structure.fill(values)
    if isinstance(structure, dict):
        return {key: fill_structure(part, values) for key, part in structure.items()}
    if isinstance(structure, tuple):
        return [fill_structure(part, values) for part in structure]
    return structure


def _plain(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _in_url(name: str, values: Mapping[str, JsonValue]) -> str:
    value = _plain(values[name])
    if not value:
        raise ValueError(f"{{{name}}} is empty")
    return quote(value, safe="/")
