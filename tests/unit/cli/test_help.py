"""The lists of commands that `--help` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clawd.cli.lazy import COMMANDS, load
from clawd.cli.root import program

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 65
"""Columns that a list of commands leaves for their sentences in a terminal of 80."""


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its words."""
    yield from program().commands.items()
    for entry in COMMANDS:
        for name, command in getattr(load(entry), "commands", {}).items():
            yield f"{entry.name} {name}", command


@pytest.mark.parametrize(("words", "command"), [pytest.param(w, c, id=w) for w, c in commands()])
def test_a_command_is_told_in_one_whole_sentence(words: str, command: Any) -> None:
    sentence = command.get_short_help_str(WIDTH)
    assert sentence, words
    assert not sentence.endswith("..."), sentence
