"""The user's unit with the sandbox of a user namespace: what it locks in, and under a real user's manager."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clawd.cli.units import sandbox_path, units
from clawd.tools.base import ToolSite
from clawd.tools.sandbox import PROBE, Sandbox
from clawd.tools.shell import ShellConfig, environment
from tests.fakes.systemd_units import can_boot, run_user_units
from tests.integration.test_systemd import analyze, needs_systemd

CLAWD = Path(sys.executable).parent / "clawd"
HOME = Path("/var/lib/clawd")
SHELL_CONF = Path(__file__).parents[2] / "systemd" / "clawd-shell.conf"
RUN = """#!/bin/sh
echo "$*" >> "$HOME/asked"
echo "Failed to set up user namespacing" >&2
exit ${RUN_CODE:-0}
"""


def settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith(("#", "["))]


def installed(directory: Path, *, sandbox: bool) -> Path:
    """Write the unit, and its drop-in, for the analysis; return the unit."""
    written = units(
        "user", command=CLAWD, config=None, environ={"HOME": "/h"}, root=directory, sandbox=sandbox
    )
    for file in written.files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(file.text)
    return written.unit.path


@needs_systemd
def test_verify_has_nothing_to_say_and_the_unit_is_exposed_no_more_than_1_9(tmp_path: Path) -> None:
    path = installed(tmp_path, sandbox=True)
    done = analyze("--user", "verify", path, runtime=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    security = ("--user", "security", "--offline=true")
    done = analyze(*security, "--threshold=19", path, runtime=tmp_path)
    assert done.returncode == 0, done.stdout
    sandbox_path({"HOME": "/h"}, tmp_path).unlink()
    assert analyze(*security, "--threshold=19", path, runtime=tmp_path).returncode == 1
    assert analyze(*security, "--threshold=62", path, runtime=tmp_path).returncode == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a systemd-run that notes what it is asked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemd-run").write_text(RUN)
    (tmp_path / "bin" / "systemd-run").chmod(0o755)
    return tmp_path


def service(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home), **environ}
    return subprocess.run(
        [CLAWD, "service", *words, "--user"],
        env=own, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip


def test_the_sandbox_is_written_where_the_host_lets_it_and_stays(home: Path) -> None:
    drop_in = sandbox_path({"HOME": str(home)})
    refused = service(home, "install", RUN_CODE="217")
    assert (refused.returncode, drop_in.exists()) == (0, False)
    assert "(Failed to set up user namespacing); --sandbox writes it all the same" in refused.stderr
    assert "--property=PrivateUsers=yes" in (home / "asked").read_text()
    assert service(home, "install").returncode == 0
    assert "PrivateUsers=yes" in drop_in.read_text()
    service(home, "install", RUN_CODE="217")
    assert drop_in.exists(), "a host that can't be asked for the moment takes nothing away"
    service(home, "install", "--no-sandbox")
    assert (drop_in.exists(), drop_in.with_name("sandbox.conf.old").exists()) == (False, True)
    service(home, "install", "--sandbox", RUN_CODE="217")
    assert drop_in.exists()
    assert f"removed {drop_in}" in service(home, "uninstall").stdout


def test_a_state_directory_outside_the_home_stays_writable(tmp_path: Path) -> None:
    for place, line in ((None, "ReadWritePaths=%h"), (Path("/srv/a b"), 'ReadWritePaths="/srv/a b"')):
        written = units(
            "user", command=CLAWD, config=None, environ={}, root=tmp_path, sandbox=True, writable=place
        )
        assert settings(written.files[1].text)[-1] == line


def test_a_state_directory_outside_the_home_is_there_before_the_unit_names_it(
    home: Path, tmp_path: Path
) -> None:
    state, user = tmp_path / "disk" / "a $b", home / "user"
    config = user / ".config" / "clawd" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"state_dir: {json.dumps(str(tmp_path / 'link'))}\n")
    (tmp_path / "link").symlink_to(state)
    printed = service(home, "install", "--sandbox", "--print", HOME=str(user))
    assert f"test -d '{state}' || install -d -m 700 '{state}'\n" in printed.stdout, printed.stderr
    assert not state.exists()
    done = service(home, "install", "--sandbox", HOME=str(user))
    assert (done.returncode, state.is_dir()) == (0, True), done.stderr
    assert state.stat().st_mode & 0o777 == 0o700
    state.chmod(0o750)
    done = service(home, "install", "--sandbox", HOME=str(user))
    assert (done.returncode, state.stat().st_mode & 0o777) == (0, 0o750), "one that is there stays as it is"
    assert f'ReadWritePaths="{state}"\n' in sandbox_path({"HOME": str(user)}).read_text()


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    shutil.which("bwrap") is None or not can_boot(),
    reason="left out: starting a systemd needs root, overlayfs, cgroup v2, and the packages systemd and bubblewrap",
)
def test_under_a_real_users_manager_the_sandbox_locks_in_and_the_shell_tool_works_with_its_drop_in(
    tmp_path: Path,
) -> None:
    workdir = HOME / "workspace"
    argv = Sandbox(program="/usr/bin/bwrap", workdir=workdir).argv(
        environment(ShellConfig(), workdir, ToolSite(state_dir=HOME, environ={}))
    )
    probe = shlex.join([*argv, "/bin/sh", "-c", PROBE])
    script = (
        f"mkdir -p {workdir}; grep ^CapBnd: /proc/self/status; touch /etc/x 2>&1 || true; touch {HOME}/x && echo home;"
        f" {probe} || true"
    )
    written = units("user", command=CLAWD, config=None, environ={}, root=tmp_path, sandbox=True)
    unit, sandbox = written.unit.text, settings(written.files[1].text)
    shell = settings(SHELL_CONF.read_text())
    alone = [line for line in sandbox if line != "PrivateUsers=yes"]
    said = run_user_units(
        tmp_path,
        {
            "plain": (unit, []),
            "sandbox": (unit, sandbox),
            "shell": (unit, [*sandbox, *shell]),
            "no-namespace": (unit, alone),
        },
        script,
    )
    assert {name: code for name, (code, _) in said.items()} == {
        "plain": 0,
        "sandbox": 0,
        "shell": 0,
        "no-namespace": 218,  # EXIT_CAPABILITIES: why these settings are a file of their own
    }
    texts = {name: text for name, (_, text) in said.items()}
    assert texts["plain"].splitlines()[1:3] == ["touch: cannot touch '/etc/x': Permission denied", "home"]
    for name in ("sandbox", "shell"):
        assert texts[name].splitlines()[:3] == [
            f"CapBnd:\t{'0' * 16}",
            "touch: cannot touch '/etc/x': Read-only file system",
            "home",
        ]
    assert texts["shell"].endswith("\nworks\n")
    assert "No permissions to create new namespace" in texts["sandbox"]
