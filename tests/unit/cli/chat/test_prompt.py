"""What Tab completes."""

from __future__ import annotations

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from clawd.cli.chat.conversation import Choices
from clawd.cli.chat.prompt import CommandCompleter

CHOICES = Choices(models=("main", "deep"), prefixes=("/think", "/new"))


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("/th", ["/think "]),  # a space behind it, or the question would grow onto it
        ("/ne", ["/new"]),  # the command goes before a prefix of its name
        ("/model d", ["deep"]),
        ("think", []),
    ],
)
def test_tab_completes_commands_prefixes_and_names(text: str, completed: list[str]) -> None:
    found = CommandCompleter(lambda: CHOICES).get_completions(Document(text), CompleteEvent())
    assert [each.text for each in found] == completed
