"""Whose files, whose process, and how far is it locked in?"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd import paths
from clawd.cli.audit.risk import Risk, Severity
from clawd.cli.checks.files import check_permissions
from clawd.cli.checks.site import Status
from clawd.cli.units import unit_paths
from clawd.config.secrecy import is_plain_url, names_secret, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site

_SCORE: Final = re.compile(r"exposure level for \S+: ([\d.]+) (\w+)")
_ENVIRONMENT: Final = re.compile(r"^Environment=.*?\b([A-Za-z_]\w*)=", re.M)
_ENVIRONMENT_FILE: Final = re.compile(r"^EnvironmentFile=-?(/\S+)", re.M)
_WEAK: Final = 3.0
_AS_RISK: Final[dict[Status, Severity]] = {"ok": "ok", "warn": "low", "fail": "high"}
_TOOL_S: Final = 10.0


def secrets(site: Site) -> Iterator[Risk]:
    """Secrets can be read by their user alone, and stand apart from what is shown around."""
    if site.loaded is None:
        return
    found = False
    held = {str(file): file for file in site.loaded.files}
    held_back = [secret for secret in secret_values(site.config) if not is_plain_url(secret.reveal())]
    origins = dict.fromkeys(secret.origin for secret in held_back)
    literal = [origin for origin in origins if origin.rpartition(":")[0] in held]
    holders = [held[origin.rpartition(":")[0]] for origin in literal]
    holders += [Path(origin.removeprefix("file ")) for origin in origins if origin.startswith("file ")]
    if site.config.gateway.tls is not None:
        holders.append(Path(site.config.gateway.tls.key))
    for file in dict.fromkeys(holders):
        mode = _mode(file)
        if mode & (stat.S_IROTH | stat.S_IRGRP):
            found = True
            wide = mode & stat.S_IROTH
            severity: Severity = "high" if wide else "low"  # a group may be meant: root:clawd, 0640
            who = "everybody here" if wide else "its group"
            evidence = f"{who} may read {file}, which holds a secret (mode {mode:o})"
            yield Risk(id="secrets", severity=severity, evidence=evidence, fix=f"chmod 600 {file}")
    for origin in literal:
        found = True
        evidence = (
            f"a secret stands in {origin} itself: it goes where the file goes (backups, version control)"
        )
        yield Risk(
            id="secrets",
            severity="low",
            evidence=evidence,
            fix="{file: PATH}, {env: NAME} or {credential: NAME}",
        )
    if not found:
        yield Risk(
            id="secrets", severity="ok", evidence=f"{len(origins)} secrets, each where only its user reads it"
        )


def state(site: Site) -> Iterator[Risk]:
    """Conversations, tokens and logs are nobody else's."""
    for finding in check_permissions(site):
        yield Risk(id="state", severity=_AS_RISK[finding.status], evidence=finding.evidence, fix=finding.fix)


def socket(site: Site) -> Iterator[Risk]:
    """Who may use the control socket may do everything."""
    found = False
    for path in site.sockets:
        mode = _mode(path)
        if mode & stat.S_IWOTH:
            found = True
            evidence = f"everybody here may use {path}, and by it do everything (mode {mode:o})"
            yield Risk(id="socket", severity="high", evidence=evidence, fix=f"chmod 600 {path}")
        elif mode & stat.S_IWGRP and path != paths.SYSTEM_SOCKET:
            found = True
            evidence = f"the group of {path} may use it, and by it do everything (mode {mode:o})"
            yield Risk(id="socket", severity="medium", evidence=evidence, fix=f"chmod 600 {path}")
    if not found:
        yield Risk(
            id="socket", severity="ok", evidence="only its user, root and the service's group may use it"
        )


def user(site: Site) -> Iterator[Risk]:
    """A daemon needs no rights of root."""
    pid = int(site.status["pid"]) if site.status else 0
    uid = _uid(site.host.proc / str(pid)) if pid else _uid(site.state_dir)
    if uid == 0:
        evidence = (
            "the daemon runs as root" if pid else f"{site.state_dir} belongs to root, so a daemon would be"
        )
        fix = "clawd service install --system (it runs as the user clawd), or use a user of your own"
        yield Risk(id="user", severity="medium", evidence=evidence, fix=fix)
    else:
        yield Risk(id="user", severity="ok", evidence=f"uid {os.geteuid() if uid is None else uid}")


def unit(site: Site) -> Iterator[Risk]:
    """The installed unit locks the daemon in, and gives no secret away."""
    installed = [path for path in unit_paths(site.environ, site.host.root) if path.exists()]
    for path in installed:
        text = "\n".join(
            part.read_text(encoding="utf-8", errors="replace")
            for part in (path, *sorted(path.with_name(f"{path.name}.d").glob("*.conf")))
        )
        yield from _unit_secrets(path, text)
        yield _exposure(path)
    if not installed:
        yield Risk(id="unit", severity="ok", evidence="not installed as a service")


def _unit_secrets(path: Path, text: str) -> Iterator[Risk]:
    for name in _ENVIRONMENT.findall(text):
        if names_secret(name.lower()):
            evidence = f"{path} or a drop-in says {name}=…, and everybody may read units (systemctl show)"
            fix = "LoadCredential=, and {credential: NAME} in the configuration"
            yield Risk(id="unit", severity="high", evidence=evidence, fix=fix)
    for name in _ENVIRONMENT_FILE.findall(text):
        if (mode := _mode(Path(name))) & stat.S_IROTH:
            evidence = f"everybody may read {name}, from which the unit takes its environment (mode {mode:o})"
            yield Risk(id="unit", severity="high", evidence=evidence, fix=f"sudo chmod 600 {name}")


def _exposure(path: Path) -> Risk:
    """Ask systemd's own judge, where it is installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return Risk(id="unit", severity="ok", evidence=f"{path}; systemd-analyze is not here to judge it")
    command = [program, "security", "--offline=true", "--no-pager", str(path)]
    environ = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=_TOOL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Risk(id="unit", severity="ok", evidence=f"{path} was not judged: {error}")
    found = _SCORE.search(done.stdout)
    if found is None:
        return Risk(id="unit", severity="ok", evidence=f"{path} was not judged by systemd-analyze")
    evidence = f"{path}: exposure {found[1]} of 10 ({found[2]}) by systemd-analyze security"
    if float(found[1]) <= _WEAK or "/user/" in str(path):
        return Risk(id="unit", severity="ok", evidence=evidence)
    fix = "clawd service install --system writes the hardened one; see which drop-in loosens it"
    return Risk(id="unit", severity="medium", evidence=evidence, fix=fix)


def _mode(path: Path) -> int:
    """Return a file's permissions, 0 when it is not there or can't be seen."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _uid(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None
