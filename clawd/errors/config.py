"""Errors of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.errors.base import EXIT_CONFIG, ClawdError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    _Stamp = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One mistake in a configuration file. `line` and `column` count from 1; 0 means unknown."""

    path: str
    key: str
    message: str
    line: int = 0
    column: int = 0
    remedy: str = ""
    snippet: str = ""  # the offending line and a caret, for a terminal

    @property
    def place(self) -> str:
        """`file:line:column`, as editors understand it."""
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path

    def __str__(self) -> str:
        """One line: place, key, message and remedy."""
        key = f"{self.key}: " if self.key else ""
        return f"{self.place}: {key}{self.message}" + (f"; {self.remedy}" if self.remedy else "")


class ConfigError(ClawdError):
    """The configuration can't be used; carries every problem found, not just the first.

    `files` are those that were read or missed, for a watcher that waits until they are mended; `stamps` tells the
    state of each when it was read (`clawd.config.stamps`).
    """

    code = "E-CONFIG"
    exit_code = EXIT_CONFIG

    def __init__(
        self, problems: Sequence[ConfigProblem], *, stamps: Mapping[Path, _Stamp] | None = None
    ) -> None:
        if not problems:
            raise ValueError("a ConfigError needs at least one problem")
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            f"the configuration has {len(problems)} problem{'s' if len(problems) > 1 else ''}",
            where=first.place,
            why=f"{first.key}: {first.message}{more}" if first.key else f"{first.message}{more}",
            remedy=first.remedy or "clawd config check",
        )
        self.problems = tuple(problems)
        self.stamps = dict(stamps or {})
        self.files = tuple(self.stamps)

    def __str__(self) -> str:
        """Every problem, each on a line of its own."""
        lines = [str(problem) for problem in self.problems]
        return lines[0] if len(lines) == 1 else "\n".join((f"{self.what}:", *lines))
