"""A systemd of its own that runs units one after the other: what a unit forbids is forbidden for real.

It needs root, overlayfs and cgroup v2, and lives in namespaces of its own: its files are an overlay, it has no network.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
BOOT = Path(__file__).with_name("systemd_boot.sh")


def cgroup2() -> Path | None:
    """Return where cgroup v2 is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    return None


def can_boot() -> bool:
    """Whether a systemd can be started here at all."""
    place = cgroup2()
    if os.getuid() or place is None or not SYSTEMD.exists() or not os.access(place, os.W_OK):
        return False
    script = "d=$(mktemp -d) && mount -t tmpfs t $d && mkdir $d/u $d/w $d/r && " + (
        "mount -t overlay o -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/r && mount -t proc p $d/r/proc; "
        "s=$?; umount -R $d; rmdir $d; exit $s"
    )
    with contextlib.suppress(OSError):
        own = place / f"clawd-try-{os.getpid()}"
        own.mkdir()
        own.rmdir()
        unshare = ["unshare", "--mount", "--pid", "--fork", "bash", "-c", script]
        return subprocess.run(unshare, capture_output=True, check=False).returncode == 0
    return False


def probing(unit: str) -> str:
    """Return the unit as one that runs /opt/run.sh once instead of clawd; all that it forbids stays."""
    unit = re.sub(
        r"^(Wants|After|ExecReload|NotifyAccess|WatchdogSec|Restart|RestartSec)=.*\n", "", unit, flags=re.M
    )
    unit = re.sub(r"^Type=.*$", "Type=oneshot", unit, flags=re.M)
    unit = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/sh /opt/run.sh", unit, flags=re.M)
    return unit.replace("[Unit]\n", "[Unit]\nDefaultDependencies=no\n")


def run_units(
    directory: Path, units: Mapping[str, tuple[str, Sequence[str]]], script: str, timeout_s: float = 60
) -> dict[str, str]:
    """Run each unit in turn and return what /opt/run.sh printed in it.

    Args:
        directory: An empty one to work in.
        units: By name the unit's text and the settings of its drop-in.
        script: What stands in /opt/run.sh.
        timeout_s: For all of them.
    """
    system, out = directory / "system", directory / "out"
    system.mkdir()
    out.mkdir()
    (directory / "run.sh").write_text(script)
    before = ""
    for name, (text, drop_in) in units.items():
        order = f"[Unit]\nAfter={before}.service\n" if before else "[Unit]\n"
        written = f"StandardOutput=file:/opt/out/{name}\nStandardError=inherit\nExecStopPost=+/bin/touch /opt/out/{name}.done\n"
        (system / f"{name}.service").write_text(
            probing(text).replace("[Unit]\n", order, 1).replace("[Install]\n", f"{written}[Install]\n")
        )
        (system / f"{name}.service.d").mkdir()
        (system / f"{name}.service.d" / "shell.conf").write_text("\n".join(["[Service]", *drop_in, ""]))
        before = name
    wants = " ".join(f"{name}.service" for name in units)
    (system / "probe.target").write_text(f"[Unit]\nDefaultDependencies=no\nWants={wants}\n")
    _boot(directory, out / f"{before}.done", timeout_s)
    return {name: (out / name).read_text() for name in units}


USER_MANAGER = """\
[Unit]
DefaultDependencies=no
[Service]
User=clawd
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/61777 HOME=/var/lib/clawd
ExecStartPre=+/bin/sh /opt/out/prepare
ExecStart=/lib/systemd/systemd --user --unit=probe.target
"""
PREPARE = """\
set -e
# The host's manager makes the first of these when it starts a service in a mount namespace.
mkdir -p /run/systemd/unit-root /run/user/61777 /var/lib/clawd/.config/systemd
cp -r /opt/out/user /var/lib/clawd/.config/systemd/user
chown -R clawd:clawd /var/lib/clawd /run/user/61777
chmod 700 /run/user/61777
"""
LAST = """\
[Unit]
DefaultDependencies=no
After={wants}
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for n in {wants}; do systemctl --user show $n -p ExecMainStatus --value > /opt/out/$n.code; done'
ExecStart=/bin/touch /opt/out/done
"""


def run_user_units(
    directory: Path, units: Mapping[str, tuple[str, Sequence[str]]], script: str, timeout_s: float = 60
) -> dict[str, tuple[int, str]]:
    """Run each unit in turn under the manager of the user `clawd`; return its exit code and what it printed.

    Arguments as of `run_units`. That manager is a service of a system's, as on any host; it has no privilege.
    """
    system, out = directory / "system", directory / "out"
    for folder in (system, out, out / "user"):
        folder.mkdir()
    out.chmod(0o777)
    (directory / "run.sh").write_text(script)
    (out / "prepare").write_text(PREPARE)
    before = ""
    for name, (text, drop_in) in units.items():
        order = f"[Unit]\nAfter={before}.service\n" if before else "[Unit]\n"
        written = f"StandardOutput=file:/opt/out/{name}\nStandardError=inherit\n[Install]\n"
        whole = probing(text).replace("[Unit]\n", order, 1).replace("[Install]\n", written)
        (out / "user" / f"{name}.service").write_text(whole)
        (out / "user" / f"{name}.service.d").mkdir()
        (out / "user" / f"{name}.service.d" / "own.conf").write_text("\n".join(["[Service]", *drop_in, ""]))
        before = name
    wants = " ".join(f"{name}.service" for name in units)
    target = f"[Unit]\nDefaultDependencies=no\nWants={wants} last.service\n"
    (out / "user" / "probe.target").write_text(target)
    (out / "user" / "last.service").write_text(LAST.format(wants=wants))
    (system / "manager.service").write_text(USER_MANAGER)
    (system / "probe.target").write_text("[Unit]\nDefaultDependencies=no\nWants=manager.service\n")
    _boot(directory, out / "done", timeout_s)
    return {
        name: (int((out / f"{name}.service.code").read_text()), (out / name).read_text()) for name in units
    }


def _boot(directory: Path, done: Path, timeout_s: float) -> None:
    place = cgroup2()
    assert place is not None
    own = place / f"clawd-test-{os.getpid()}"
    own.mkdir()
    joined = f'echo $$ > {own}/cgroup.procs && exec "$@"'
    namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--ipc", "--uts", "--net"]
    bash = shutil.which("bash") or "/bin/bash"
    booted = subprocess.Popen(
        ["/bin/sh", "-c", joined, "sh", "unshare", *namespaces, bash, str(BOOT), str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + timeout_s
        while not done.exists() and booted.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert done.exists(), "systemd ended, or took too long"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(booted.pid, signal.SIGKILL)
        booted.communicate()
        _remove(own)


def _remove(cgroup: Path) -> None:
    """Remove a cgroup whose processes are being killed."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            for folder in sorted((p for p in cgroup.rglob("*") if p.is_dir()), reverse=True):
                folder.rmdir()
            cgroup.rmdir()
            return
        time.sleep(0.02)
