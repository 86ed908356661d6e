"""The lists of commands that `--help` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clawd.cli.root import program

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 60
"""Columns that a list of commands leaves for their sentences in a terminal of 80."""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command below a group with its words."""
    with group.make_context("clawd", [], resilient_parsing=True) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            yield (*path, name), command
            if hasattr(command, "list_commands"):
                yield from commands(command, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(p, c, id=" ".join(p)) for p, c in commands(program())]
)
def test_a_command_is_told_in_one_whole_sentence(path: tuple[str, ...], command: Any) -> None:
    sentence = command.get_short_help_str(WIDTH)
    assert sentence, path
    assert not sentence.endswith("..."), sentence
