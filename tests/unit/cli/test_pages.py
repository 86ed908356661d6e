"""Pages that are made from the code: they are not stale, and they say all of it."""

from __future__ import annotations

from pathlib import Path

from clawd.cli.lazy import COMMANDS
from clawd.cli.pages import commands, configuration
from clawd.config.jsonschema import config_schema
from clawd.config.schema import Config
from clawd.plugins import find_plugins

ROOT = Path(__file__).parents[3]


def test_the_page_of_keys_is_what_the_code_makes_of_it() -> None:
    schema, broken = config_schema(find_plugins())
    assert not broken
    made = configuration.page(schema, configuration.EXAMPLE.read_text(encoding="utf-8"))
    assert made == (ROOT / "docs" / "keys.md").read_text(encoding="utf-8"), "run: make pages"


def test_the_page_of_commands_is_what_the_code_makes_of_it() -> None:
    assert commands.page() == (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), "run: make pages"


def test_every_section_and_every_type_has_its_keys() -> None:
    text = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
    plugins = find_plugins()
    for name in Config.model_fields:
        assert f"## {name}\n" in text or f"| `{name}` |" in text
    for kind in (*plugins.bridges, *plugins.models):
        assert f"### type: {kind}\n" in text


def test_every_command_has_its_options() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert all(f"## clawd {entry.name}\n" in text for entry in COMMANDS)
    assert "| `-c, --conversation NAME` | Which conversation to talk in. Default: `default`. |" in text
    assert "| `--stream / --no-stream` |" in text


def test_a_comment_belongs_to_the_key_that_it_stands_behind() -> None:
    example = configuration.read_example(
        """
# Of the section,
# in two lines.
agent:
  busy: queue   # what a message does:
                # it waits
  plain: "a # within a text"
models:
  - name: one   # the first
    type: chat
  - name: two
    type: demo  # makes no call
"""
    )
    assert example.words == {
        ("agent",): "Of the section, in two lines.",
        ("agent", "busy"): "what a message does: it waits",
        ("agent", "plain"): "",
        ("models",): "",
        ("models", "0", "name"): "the first",
        ("models", "0", "type"): "",
        ("models", "1", "name"): "",
        ("models", "1", "type"): "makes no call",
    }
    assert example.entries == {("models", "chat"): [("models", "0")], ("models", "demo"): [("models", "1")]}
