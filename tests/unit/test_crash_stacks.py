"""Stacks of a process that a fatal signal ended are logged by the next one. Real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clawd.crash_stacks import FILE

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, logging, os, signal, sys
from pathlib import Path
from clawd.crash_stacks import CrashStacks

class Told(logging.Handler):
    def emit(self, record):
        print(json.dumps([record.msg, record.__dict__.get("stacks", "")]), flush=True)

logging.getLogger().addHandler(Told())

def hangs_in_here():
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))

with CrashStacks(Path(sys.argv[1])):
    if sys.argv[2] != "none":
        hangs_in_here()
"""


def run(folder: Path, name: str) -> tuple[int, list[tuple[str, str]]]:
    """Run a process that ends by this signal; return its exit code and what it logged."""
    command = [sys.executable, "-c", PROGRAM, str(folder), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV"])
def test_stacks_of_a_process_that_was_killed_are_told_once_by_the_next(tmp_path: Path, name: str) -> None:
    code, told = run(tmp_path, name)
    assert (code, told) == (-getattr(signal, name), [])
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    code, ((event, stacks),) = run(tmp_path, "none")
    assert (code, event) == (0, "crashed_before")
    assert "in hangs_in_here" in stacks
    assert stacks.startswith("Fatal Python error")
    assert run(tmp_path, "none") == (0, [])
    assert not (tmp_path / FILE).exists()


def test_without_a_folder_that_takes_the_file_the_rest_works(tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere", "none") == (0, [("no_crash_stacks", "")])
