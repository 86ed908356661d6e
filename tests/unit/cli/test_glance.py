"""What a person waits for: a daemon that is there and never answers is told soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawd.cli import status, summary
from clawd.cli.root import run_program
from clawd.client import GLANCE_S, NoAnswer


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """A socket that connections wait at; nobody ever reads what they ask."""
    path = tmp_path / "clawd.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield str(path)


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["--json"]])
def test_a_daemon_that_never_answers_is_told_within_the_time_of_a_glance(
    silent: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert GLANCE_S <= 5
    for module in (status, summary):
        monkeypatch.setattr(module, "GLANCE_S", 0.05)
    with pytest.raises(NoAnswer, match="the daemon does not answer") as raised:
        run_program(["--socket", silent, *command])
    assert raised.value.where == silent
