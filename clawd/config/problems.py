"""Collects every mistake of a configuration, with its place and the line it is on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clawd.config.nodes import KeyPath, Mark, key_text
from clawd.config.secrecy import hide_values
from clawd.errors import ConfigError, ConfigProblem
from clawd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from clawd.config.stamps import Stamp

MAX_PROBLEMS = 100
_MAX_SNIPPET = 120
# What looks like a secret wherever it stands.
_SECRET_SHAPE = re.compile(
    r"whsec_[\w+/=-]+|\bsk-[\w-]{8,}|\b\d{5,}:[\w-]{30,}"
    # in URLs: a password, and what stands behind a name that says so
    r"|(?<=://)[^/@\s]*:[^/@\s]+(?=@)|(?<=key=|ken=|ret=|ass=|ord=|ign=|sig=)[^&\s'\"#]+|(?<=[?&]code=)[^&\s'\"#]+",
    re.IGNORECASE,
)


class Problems:
    """What is wrong so far. Files are shown to it first, so that it can quote their lines."""

    def __init__(self) -> None:
        self._found: list[ConfigProblem] = []
        self._lines: dict[str, list[str]] = {}
        self._paths: set[KeyPath] = set()

    def __bool__(self) -> bool:
        return bool(self._found)

    def quote_from(self, path: str, text: str) -> None:
        """Remember a file's text."""
        self._lines[path] = text.splitlines()

    def add(self, mark: Mark, path: KeyPath, message: str, *, remedy: str = "") -> None:
        """Note one mistake."""
        self._paths.add(path)
        if len(self._found) < MAX_PROBLEMS:
            self._found.append(
                ConfigProblem(
                    path=mark.path,
                    key=key_text(path),
                    message=message,
                    line=mark.line,
                    column=mark.column,
                    remedy=remedy,
                    snippet=self._snippet(mark),
                )
            )

    def add_file(self, path: Path, message: str, *, remedy: str = "") -> None:
        """Note that a file as a whole can't be used."""
        self._found.append(ConfigProblem(path=str(path), key="", message=message, remedy=remedy))

    def concerns(self, path: KeyPath) -> bool:
        """Whether a mistake is already known at this key or above it: what follows from it is not news."""
        return any(path[: len(known)] == known for known in self._paths if known)

    def lies_within(self, path: KeyPath) -> bool:
        """Whether a mistake is already known somewhere below this key."""
        return any(known[: len(path)] == path for known in self._paths if len(known) > len(path))

    def touch(self, path: KeyPath) -> bool:
        """Whether a mistake is already known at this key, above it or below it."""
        return self.concerns(path) or self.lies_within(path)

    def raise_all(self, stamps: Mapping[Path, Stamp]) -> None:
        """Raise ConfigError with all of them in the order of the files; do nothing when there is none."""
        if self._found:
            order = {str(path): index for index, path in enumerate(stamps)}
            self._found.sort(key=lambda p: (order.get(p.path, 0), p.line, p.column))
            raise ConfigError(self._found, stamps=stamps)

    def _snippet(self, mark: Mark) -> str:
        lines = self._lines.get(mark.path, [])
        if not 0 < mark.line <= len(lines):
            return ""
        line = hide_secrets(lines[mark.line - 1].replace("\t", " "))
        start = max(0, mark.column - _MAX_SNIPPET // 2)
        caret = " " * (mark.column - 1 - start) + "^"
        return f"{line[start : start + _MAX_SNIPPET]}\n{caret}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known word, empty when none is near."""
    near = nearest(word.lower(), known)
    return f"; did you mean {near[0]!r}?" if near else ""


def hide_secrets(line: str) -> str:
    """Return the line with what may be a secret as stars, each character in its place."""
    line = hide_values(line, lambda value: "*" * len(value))
    return _SECRET_SHAPE.sub(lambda match: "*" * len(match[0]), line)
