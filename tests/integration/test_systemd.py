"""The units are right, locked in, and written with the paths of this installation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from clawd.cli.units import UnitError, check_reachable, quoted, script, units
from clawd.config.schema import AgentConfig, ShutdownConfig
from clawd.errors import EXIT_CONFIG, EXIT_LOCKED

UNITS = Path(__file__).parents[2] / "systemd"
CLAWD = Path(sys.executable).parent / "clawd"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="left out: the Debian package systemd is not installed"
)


def _found(program: str) -> str:
    path = shutil.which(program)
    assert path is not None
    return path


def analyze(*arguments: str | Path, runtime: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    if runtime is not None:
        environ["XDG_RUNTIME_DIR"] = str(runtime)
    return subprocess.run(
        [_found("systemd-analyze"), *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def settings(name: str) -> dict[str, list[str]]:
    """Return the unit's settings; some of them occur more than once."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def system_unit(directory: Path, command: Path = CLAWD, config: str | None = None) -> Path:
    written = units("system", command=command, config=config, environ={}, root=directory)
    path = directory / "clawd.service"
    path.write_text(written.unit.text)
    return path


@needs_systemd
def test_verify_has_nothing_to_say_about_the_system_unit(tmp_path: Path) -> None:
    done = analyze("verify", system_unit(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_verify_has_nothing_to_say_about_the_user_unit(tmp_path: Path) -> None:
    written = units("user", command=CLAWD, config=None, environ={"HOME": "/h"}, root=tmp_path)
    path = tmp_path / "clawd.service"
    path.write_text(written.unit.text)
    done = analyze("--user", "verify", path, runtime=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_verify_has_nothing_to_say_about_the_credentials_drop_in(tmp_path: Path) -> None:
    path = system_unit(tmp_path)
    drop_in = tmp_path / "clawd.service.d" / "credentials.conf"
    drop_in.parent.mkdir()
    shutil.copy(UNITS / "clawd.service.d" / "credentials.conf.example", drop_in)
    done = analyze("verify", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    drop_in.write_text("[Service]\nLoadCredentials=typo\n")
    assert "LoadCredentials" in analyze("verify", path).stderr  # verify does read it


@needs_systemd
def test_the_system_unit_is_exposed_no_more_than_1_5(tmp_path: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=15", system_unit(tmp_path))
    assert done.returncode == 0, done.stdout


@needs_systemd
def test_a_path_with_odd_characters_is_still_one_word(tmp_path: Path) -> None:
    odd = tmp_path / "a b%n$HOME"
    odd.mkdir()
    command = odd / "clawd"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    done = analyze("verify", system_unit(tmp_path, command, config=f'{odd}/"c".yaml'))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_program_that_systemd_would_not_start_is_refused_here(tmp_path: Path) -> None:
    with pytest.raises(UnitError, match="quotes"):
        system_unit(tmp_path, tmp_path / 'a"b' / "clawd")


def test_a_word_is_quoted_only_where_it_must_be() -> None:
    assert quoted("/opt/clawd/bin/clawd") == "/opt/clawd/bin/clawd"
    assert quoted("/a b") == '"/a b"'
    assert quoted("/a%n") == "/a%%n"
    assert quoted('/a"$b\\c') == '"/a\\"$$b\\\\c"'


@pytest.mark.parametrize("name", ["clawd.service", "clawd-user.service"])
def test_a_unit_leaves_time_for_what_the_daemon_promises(name: str) -> None:
    unit, stop = settings(name), ShutdownConfig()
    assert float(unit["TimeoutStopSec"][0]) > stop.grace_s + stop.delivery_s
    # Three poison messages at once are dead-lettered before systemd gives up on the service.
    assert int(unit["StartLimitBurst"][0]) > 3 * AgentConfig().max_attempts
    restarts_s = int(unit["StartLimitBurst"][0]) * (1 + float(unit["RestartSec"][0].rstrip("s")))
    assert restarts_s < int(unit["StartLimitIntervalSec"][0])  # else the limit would never be reached
    assert set(unit["RestartPreventExitStatus"][0].split()) == {str(EXIT_LOCKED), str(EXIT_CONFIG)}
    assert (unit["Type"], unit["NotifyAccess"], unit["KillMode"]) == (["notify"], ["main"], ["mixed"])
    assert unit["WatchdogSec"] == ["30"]


@pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None, reason="left out: the Debian package systemd is not installed"
)
def test_the_user_and_its_directories_are_made(tmp_path: Path) -> None:
    sysusers, tmpfiles = UNITS / "clawd.sysusers", UNITS / "clawd.tmpfiles"
    (tmp_path / "etc").mkdir()
    made = subprocess.run(
        [_found("systemd-sysusers"), f"--root={tmp_path}", "--dry-run", sysusers],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "Creating user 'clawd' (clawd agent daemon)" in made.stdout + made.stderr
    lines = [line.split() for line in tmpfiles.read_text().splitlines() if not line.startswith("#")]
    assert all(len(fields) in (5, 6) and fields[0] in "dz" for fields in lines)


# --- clawd service ---------------------------------------------------------------------------------------


def clawd(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.run(
        [CLAWD, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=50
    )


def test_a_user_installs_looks_and_uninstalls(tmp_path: Path) -> None:
    path = tmp_path / ".config" / "systemd" / "user" / "clawd.service"
    before = clawd("service", "status", "--user", "--json", home=tmp_path)
    assert before.returncode == 3
    assert json.loads(before.stdout)["unit"] == "missing"

    done = clawd("service", "install", "--user", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"ExecStart={CLAWD} start\n" in path.read_text()
    assert "systemctl --user enable --now clawd" in done.stdout
    assert path.stat().st_mode & 0o777 == 0o644
    status = json.loads(clawd("service", "status", "--user", "--json", home=tmp_path).stdout)
    assert (status["schema_version"], status["unit"], status["path"]) == (1, "current", str(path))

    path.write_text("[Unit]\n")
    changed = json.loads(clawd("service", "status", "--user", "--json", home=tmp_path).stdout)
    assert changed["unit"] == "differs"
    assert "clawd.service.old" in clawd("service", "install", "--user", home=tmp_path).stderr
    assert path.with_name("clawd.service.old").read_text() == "[Unit]\n"

    assert clawd("service", "uninstall", "--user", home=tmp_path).returncode == 0
    assert not path.exists()
    assert "Nothing was installed" in clawd("service", "uninstall", "--user", home=tmp_path).stdout


def test_an_enabled_service_is_not_uninstalled_under_systemds_feet(tmp_path: Path) -> None:
    clawd("service", "install", "--user", home=tmp_path)
    base = tmp_path / ".config" / "systemd" / "user"
    wants = base / "default.target.wants"
    wants.mkdir()
    (wants / "clawd.service").symlink_to(base / "clawd.service")
    done = clawd("service", "uninstall", "--user", home=tmp_path)
    assert done.returncode == 1
    assert "try: systemctl --user disable --now clawd" in done.stderr
    assert (base / "clawd.service").exists()


def test_printing_writes_nothing(tmp_path: Path) -> None:
    done = clawd("--config", "/etc/my clawd.yaml", "service", "install", "--system", "--print", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'ExecStart={CLAWD} --config "/etc/my clawd.yaml" start\n' in done.stdout
    assert f'ExecReload={CLAWD} --config "/etc/my clawd.yaml" reload\n' in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scope", ["system", "user"])
def test_what_is_printed_is_a_script_that_writes_what_an_installation_would(
    scope: Literal["system", "user"], tmp_path: Path
) -> None:
    root = tmp_path / "an image's root"
    wanted = units(scope, command=CLAWD, config="/etc/$x 'y'.yaml", environ={"HOME": "/h"}, root=root)
    text = script(wanted)
    done = subprocess.run(["/bin/sh", "-eu"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [file.present for file in wanted.files] == [file.text for file in wanted.files]
    assert {file.path.stat().st_mode & 0o777 for file in wanted.files} == {0o644}
    assert sorted(path for path in root.rglob("*") if path.is_file()) == sorted(f.path for f in wanted.files)
    assert [line for line in text.splitlines() if line.startswith("#   ")] == [
        f"#   {s}" for s in wanted.steps
    ]


def test_a_script_for_an_installation_that_the_unit_would_hide_warns(tmp_path: Path) -> None:
    (tmp_path / "clawd").touch()
    (tmp_path / "python").symlink_to(Path(sys.executable).resolve())
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [tmp_path / "python", "-m", "clawd.cli.main", "service", "install", "--system", "--print"],
        env=environ, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    places, hiding = (tmp_path, Path(sys.executable).resolve()), ("/tmp", "/home", "/root", "/var/tmp")
    hidden = any(place.is_relative_to(each) for place in places for each in hiding)
    assert ("the service would not start" in done.stderr) == hidden, done.stderr
    assert f"ExecStart={tmp_path}/clawd start\n" in done.stdout


def test_a_printed_script_ends_at_the_first_file_that_it_cannot_write(tmp_path: Path) -> None:
    wanted = units("system", command=CLAWD, config=None, environ={}, root=tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "systemd").write_text("no directory")
    done = subprocess.run(["/bin/sh"], input=script(wanted), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert not wanted.files[-1].path.exists()


@pytest.mark.parametrize("path", ["/home/ann/venv/bin/clawd", "/root/x/clawd", "/tmp/venv/clawd"])
def test_the_system_service_refuses_what_its_protection_would_hide(path: str) -> None:
    with pytest.raises(UnitError, match="could not reach"):
        check_reachable(Path("/opt/clawd/bin/clawd"), Path(path))
    check_reachable(Path("/opt/clawd/bin/clawd"), Path("/usr/bin/python3.11"))


def test_the_system_files_go_where_the_administrators_files_are(tmp_path: Path) -> None:
    written = units("system", command=CLAWD, config=None, environ={}, root=tmp_path)
    assert [str(file.path.relative_to(tmp_path)) for file in written.files] == [
        "etc/systemd/system/clawd.service",
        "etc/sysusers.d/clawd.conf",
        "etc/tmpfiles.d/clawd.conf",
    ]


def test_a_directory_that_is_not_ours_to_write_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("a file where a directory should be")
    done = clawd("service", "install", "--user", home=tmp_path)
    assert done.returncode == 1
    assert "error[E-SERVICE]: the unit's files can't be changed" in done.stderr
    assert str(tmp_path / ".config") in done.stderr
