"""A real daemon process to measure, and what the kernel says of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system seconds of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def environ(home: Path) -> dict[str, str]:
    """Return the environment of a clawd over this home, in which Python keeps what it compiles.

    An installed package is compiled, and the compiler is a third of what a start would cost without.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "CLAWD_HOME": str(home)}


class Daemon:
    """A running daemon over a state directory of its own."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process = process
        self.home = home

    def cpu_s(self) -> float:
        """User and system seconds so far, all threads."""
        return cpu_s(self.process.pid)

    def rss_mb(self) -> float:
        """Resident megabytes (of 1,000,000 bytes)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def peak_mb(self) -> float:
        """The most that was ever resident, in megabytes (of 1,000,000 bytes). Source: proc(5), VmHWM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6

    def switches(self) -> int:
        """How often any thread went to sleep and was woken so far."""
        total = 0
        for status in Path(f"/proc/{self.process.pid}/task").glob("*/status"):
            for line in status.read_text(encoding="ascii").splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
        return total


@contextmanager
def daemon(**sections: Any) -> Iterator[Daemon]:
    """Start a daemon with these configuration sections; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="clawd-bench-", dir="/tmp") as folder:  # short, for the socket
        home = Path(folder)
        config = {
            "models": [{"name": "demo", "type": "demo"}],
            "gateway": {"port": 0},
            "access": {"rate": "100000/s"},
            "logging": {"level": "warning"},
            **sections,
        }
        (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (home / "config.yaml").chmod(0o600)
        process = subprocess.Popen(
            [sys.executable, "-m", "clawd.daemon"],
            env=environ(home),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if line != "clawd is ready\n":
                raise SystemExit(f"the daemon did not start: {line!r}")
            yield Daemon(process, home)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def fake_model(script: Path | None = None) -> Iterator[str]:
    """Run a model server in its own process, that answers at once or by a script; yields its base URL."""
    command = [sys.executable, "-m", "tests.fakes.openai_api", "--port", "0"]
    if script is not None:
        command += ["--script", str(script)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/v1"
        finally:
            process.kill()
