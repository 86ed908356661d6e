"""The table of commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clawd.cli.lazy import COMMANDS, Entry, load


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_command_of_the_table_exists_and_explains_itself(entry: Entry) -> None:
    command = load(entry)
    assert command.name == entry.name
    assert command.help
    assert "install_completion" not in {param.name for param in command.params}


def test_the_manual_names_every_command() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    names = [
        f"{entry.name} {name}" if name else entry.name
        for entry in COMMANDS
        for name in getattr(load(entry), "commands", {"": None})
    ]
    assert [name for name in names if f"clawd {name}" not in manual] == []


HEAVY = ("aiohttp", "aiogram", "aiosqlite", "yaml", "prompt_toolkit", "rich", "clawd.journal", "clawd.daemon")


@pytest.mark.parametrize("command", [["--version"], ["--help"], ["status", "--help"], ["status"], ["health"]])
def test_a_quick_command_imports_nothing_of_the_daemon(command: list[str], tmp_path: Path) -> None:
    program = (
        "import sys; from clawd.cli.main import run; run(sys.argv[1:]); sys.stdout.flush(); "
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        env={"HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert not loaded & set(HEAVY)
    if command == ["health"]:
        assert "typer" not in loaded
    if command == ["--version"]:
        assert not loaded & {"typer", "clawd.client", "json"}
