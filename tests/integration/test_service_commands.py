"""`clawd service` as a person uses it, with programs of systemd that say what a host's would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLAWD = Path(sys.executable).parent / "clawd"
SHOWN = "ActiveState=active\nSubState=running\nMainPID=4711\nNRestarts=3\nStatusText=1 bridges\n"
SYSTEMCTL = """#!/bin/sh
echo "$0 $*" | sed "s|.*/||" >> "$HOME/asked"
case "$*" in
*show*) cat "$HOME/shown" ;;
*enable*) exit ${ENABLE_CODE:-0} ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with programs that note what they are asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemctl", "journalctl"):
        (folder / name).write_text(
            SYSTEMCTL if name == "systemctl" else "#!/bin/sh\necho 'now clawd: \x1b[31mready'\n"
        )
        (folder / name).chmod(0o755)
    (tmp_path / "shown").write_text(SHOWN)
    return tmp_path


def service(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home), **environ}
    return subprocess.run(
        [CLAWD, "service", *words, "--user"],
        env=own, input="", capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip


def asked(home: Path) -> list[str]:
    return (home / "asked").read_text().splitlines()


def test_it_is_installed_and_started_at_once_after_a_word(home: Path) -> None:
    unasked = service(home, "install", "--now")
    assert (unasked.returncode, "Run this now?" in unasked.stderr) == (2, True)
    assert not (home / "asked").exists()
    done = service(home, "install", "--now", "--yes")
    assert done.returncode == 0, done.stderr
    assert asked(home) == ["systemctl --user daemon-reload", "systemctl --user enable --now clawd"]
    assert "clawd runs as a service" in done.stdout
    assert "and if you want: loginctl enable-linger" in done.stdout


def test_a_step_that_fails_ends_it_with_the_rest_to_run_by_hand(home: Path) -> None:
    done = service(home, "install", "--now", "--yes", ENABLE_CODE="5")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "error[E-SERVICE]: systemctl --user enable --now clawd failed" in lines
    assert any(line.startswith("why: exit code 5") for line in lines)
    assert lines[-1] == "try: systemctl --user enable --now clawd"
    packaged = service(home, "install", "--now", "--yes", "--root", str(home / "image"))
    assert (packaged.returncode, "with --root nothing is started" in packaged.stderr) == (1, True)


def test_the_status_shows_what_differs_the_last_lines_and_restarts(home: Path) -> None:
    service(home, "install")
    unit = home / ".config" / "systemd" / "user" / "clawd.service"
    unit.write_text(unit.read_text().replace("MemoryMax=2G", "MemoryMax=1G"))
    done = service(home, "status")
    assert done.returncode == 0
    assert ": differs (clawd service install --user writes it anew)" in done.stdout
    assert "         -MemoryMax=2G\n         +MemoryMax=1G\n" in done.stdout
    assert "NRestarts      3" in done.stdout
    assert "\x1b" not in done.stdout
    assert "now clawd: " in done.stdout
    assert "started it again 3 times" in done.stderr
    report = json.loads(service(home, "status", "--json").stdout)
    assert (report["unit"], report["drift"]) == ("differs", ["-MemoryMax=2G", "+MemoryMax=1G"])
    assert (report["systemd"]["MainPID"], len(report["log"])) == ("4711", 1)


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="left out: systemd runs here")
def test_without_systemd_the_status_says_so_and_what_works_instead(home: Path) -> None:
    (home / "bin" / "systemctl").unlink()
    done = service(home, "status", PATH=f"{home}/bin")
    assert done.returncode == 3
    assert "systemd does not run here (process 1 is " in done.stderr
    assert "clawd start --detach" in done.stderr
    assert "this host has no systemctl" in done.stdout


def test_what_stays_after_it_was_removed_is_told(home: Path) -> None:
    service(home, "install")
    done = service(home, "uninstall")
    assert done.returncode == 0
    assert f"{home}/.local/state/clawd" in done.stderr
    assert "none was made" in done.stderr
    assert os.listdir(home / ".config" / "systemd" / "user") == []  # noqa: PTH208 - names alone
