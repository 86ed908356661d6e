"""The table of commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clawd.cli.lazy import COMMANDS, Entry, load


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_command_of_the_table_exists_and_explains_itself(entry: Entry) -> None:
    command = load(entry)
    assert command.name == entry.name
    assert command.help or getattr(command, "commands", None)
    assert "install_completion" not in {param.name for param in command.params}


HEAVY = ("aiohttp", "aiogram", "aiosqlite", "yaml", "prompt_toolkit", "rich", "clawd.journal", "clawd.daemon")


@pytest.mark.parametrize("command", [["--version"], ["--help"], ["status", "--help"], ["status"]])
def test_a_quick_command_imports_nothing_of_the_daemon(command: list[str], tmp_path: object) -> None:
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
    if command == ["--version"]:
        assert not loaded & {"typer", "clawd.client", "json"}
