"""Patterns of command lines that may run without a question, or never. Pure.

`*` stands for any text and `?` for one character; a backslash before `*`, `?` or a backslash takes its
meaning away. A pattern without them means that very command line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_PARTING: Final = frozenset(";&|`$()<>")
"""What begins another command, a redirection or a substitution in a shell, as line ends do."""

_QUOTING: Final = frozenset("'\"\\")
_SPECIAL: Final = frozenset("*?\\")


@dataclass(frozen=True, slots=True)
class _Piece:
    """One element of a pattern: a character, or a wildcard."""

    kind: Literal["char", "one", "any"]
    char: str = ""
    last: bool = False  # a wildcard with nothing but wildcards behind it

    def takes(self, char: str) -> bool:
        if self.kind == "char":
            return char == self.char
        # A quote that a wildcard swallows would change what the pattern's own text behind it means: with
        # `echo '*; date'`, a quote in the place of `*` would set the rest free. At the end there is no rest.
        return (
            char not in _PARTING
            and (char.isprintable() or char == "\t")
            and (self.last or char not in _QUOTING)
        )


def matches(pattern: str, subject: str) -> bool:
    """Return whether a pattern allows a command line.

    A wildcard never takes what could begin a second command, a redirection or a substitution (``; & | ` $
    ( ) < >``), no line end and no other control character, so `git status*` does not allow
    `git status; rm -rf ~`. Quotes and backslashes are taken at the pattern's end only. Wildcards do take
    spaces, hence further arguments.
    """
    pieces = _read(pattern)
    places = _skip(pieces, {0})
    for char in subject:
        places = _skip(pieces, _step(pieces, places, char))
        if not places:
            return False
    return len(pieces) in places


def exactly(subject: str) -> str:
    """Return the pattern that matches this command line and no other."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in subject)


def forbids(pattern: str, subject: str) -> bool:
    """Return whether a pattern forbids a command line: it fits the whole, or a command that is part of it.

    Here a wildcard takes everything, so that `rm *` also forbids `true && rm -rf "$HOME"`. It is a net for
    accidents: who wants to can always write a command in another way.
    """
    wanted = re.compile("".join(map(_loose, _read(pattern))), re.DOTALL)
    parts = re.split(r"[;&|`$()<>{}\n]+", subject)
    return any(wanted.fullmatch(part.strip()) for part in (subject, *parts))


def _loose(piece: _Piece) -> str:
    return {"char": re.escape(piece.char), "one": ".", "any": ".*"}[piece.kind]


def _read(pattern: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            pieces += [_Piece("char", "\\")] if following not in _SPECIAL else []
            pieces += [_Piece("char", following)] if following else []
        elif char == "*" and pieces and pieces[-1].kind == "any":
            continue  # means no more than one does
        else:
            pieces.append({"*": _Piece("any"), "?": _Piece("one")}.get(char) or _Piece("char", char))
    for place in range(len(pieces) - 1, -1, -1):
        if pieces[place].kind == "char":
            break
        pieces[place] = _Piece(pieces[place].kind, last=True)
    return pieces


def _step(pieces: list[_Piece], places: set[int], char: str) -> set[int]:
    """Return where a match may stand after one more character; each is tried at once, so nothing blows up."""
    return {
        place if pieces[place].kind == "any" else place + 1
        for place in places
        if place < len(pieces) and pieces[place].takes(char)
    }


def _skip(pieces: list[_Piece], places: set[int]) -> set[int]:
    """Return the places together with those behind an `any` that takes nothing."""
    return places | {place + 1 for place in places if place < len(pieces) and pieces[place].kind == "any"}
