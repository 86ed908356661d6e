"""The drop-in gives bubblewrap what the hardened units take from it, and no more than that."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from clawd.cli.units import units
from clawd.tools.base import ToolSite
from clawd.tools.sandbox import PROBE, Sandbox
from clawd.tools.shell import ShellConfig, environment
from tests.fakes.systemd_units import can_boot, run_units
from tests.integration.test_systemd import analyze, needs_systemd

ROOT = Path(__file__).parents[2]
DROP_IN = ROOT / "systemd" / "clawd-shell.conf"
CLAWD = Path(sys.executable).parent / "clawd"
WORKDIR = Path("/var/lib/clawd/workspace")


def settings() -> list[str]:
    lines = DROP_IN.read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "["))]


def installed(directory: Path, lines: list[str] | None = None) -> Path:
    """Write unit and drop-in as they are installed; return the unit."""
    path = directory / "clawd.service"
    path.write_text(units("system", command=CLAWD, config=None, environ={}, root=directory).unit.text)
    (directory / "clawd.service.d").mkdir()
    text = DROP_IN.read_text() if lines is None else "\n".join(["[Service]", *lines, ""])
    (directory / "clawd.service.d" / "shell.conf").write_text(text)
    return path


@needs_systemd
def test_verify_has_nothing_to_say_about_the_shell_drop_in(tmp_path: Path) -> None:
    done = analyze("verify", installed(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_with_the_drop_in_the_unit_is_exposed_no_more_than_2_3(tmp_path: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=23", installed(tmp_path))
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    shutil.which("bwrap") is None or not can_boot(),
    reason="left out: starting a systemd needs root, overlayfs, cgroup v2, and the packages systemd and bubblewrap",
)
def test_under_a_real_systemd_the_sandbox_needs_the_drop_in_and_every_line_of_it(tmp_path: Path) -> None:
    site = ToolSite(state_dir=WORKDIR.parent, environ={})
    sandbox = Sandbox(program="/usr/bin/bwrap", workdir=WORKDIR)
    probe = shlex.join([*sandbox.argv(environment(ShellConfig(), WORKDIR, site)), "/bin/sh", "-c", PROBE])
    script = f"mkdir -p {WORKDIR}; grep -E '^(CapBnd|NoNewPrivs):' /proc/self/status; {probe}"

    system = (ROOT / "clawd" / "units" / "clawd.service").read_text()
    user = (ROOT / "clawd" / "units" / "clawd-user.service").read_text()
    user = user.replace("[Service]\n", "[Service]\nUser=clawd\nStateDirectory=clawd\n")
    lines = settings()
    tried = {
        "alone": (system, []),
        "with": (system, lines),
        "user-alone": (user, []),
        "user-with": (user, lines),
    }
    for line in lines:
        tried[f"without-{line.partition('=')[0]}"] = (system, [other for other in lines if other != line])
    said = run_units(tmp_path, tried, script)
    works = {name for name, text in said.items() if text.endswith("works\n")}
    assert works == {"with", "user-with"}, said
    # What the drop-in leaves alone: no capability, and no way to get one.
    assert said["with"].split()[:4] == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1"]
    assert len(tried) == 4 + len(lines) == 8
