"""What systemd itself says and does: asked and told by its own programs, which may be missing."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.cli.units import UNIT, UnitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.cli.units import Scope

_ASKED: Final = ("ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "Result", "StatusText")
_TRIED: Final = ("PrivateUsers=yes", "CapabilityBoundingSet=", "PrivateDevices=yes", "ProtectSystem=strict")
_TIMEOUT_S: Final = 5
_STEP_S: Final = 120.0
_LINES: Final = 5
_BOOTED: Final = Path("/run/systemd/system")
_LINGER: Final = Path("/var/lib/systemd/linger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The unit whose main process a daemon is."""

    scope: Scope
    unit: str

    @property
    def restart(self) -> str:
        """The command that starts it anew, as it is shown to people."""
        command = "systemctl --user" if self.scope == "user" else "sudo systemctl"
        return f"{command} restart {shlex.quote(self.unit)}"


def service_of(pid: int, proc: Path = Path("/proc")) -> Service | None:
    """Return the service that a process of this host is, None when no service manager would start it again.

    What was started in a terminal may be in a service's group as well, without being its main process.

    Raises:
        UnitError: it may be one, and its manager does not say; stopped and started by hand it would be none any more.

    Source: cgroups(7), /proc/PID/cgroup; systemd.special(7), user@.service.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, kind, place = [*line.split(":", 2), "", ""][:3]
        *above, last = place.split("/") if kind in ("", "name=systemd") else [""]
        if last.endswith(".service") and not last.startswith("user@"):
            # A user's manager is a service itself, and has its own below it.
            scope: Scope = "user" if any(part.endswith(".service") for part in above) else "system"
            service = Service(scope=scope, unit=last)
            found, error = _asked(["systemctl", *_user(scope), "show", last, "--property=MainPID", "--value"])
            if error and not not_running():
                raise UnitError(
                    "whether systemd looks after the daemon can't be told",
                    where=last,
                    why=error,
                    remedy=f"as the user whose service it is, logged in: {service.restart}",
                )
            if found.strip() == str(pid):
                return service
    return None


def not_running() -> str:
    """Return why systemd can do nothing here, empty where it runs. Source: sd_booted(3)."""
    if _BOOTED.is_dir():
        return ""
    try:
        first = Path("/proc/1/comm").read_text(encoding="utf-8").strip()
    except OSError:
        first = "unknown"
    return f"systemd does not run here (process 1 is {first})"


def properties(scope: Scope) -> dict[str, str]:
    """Return what systemd knows of the unit; under "error" why it can't be asked."""
    found, error = _asked(["systemctl", *_user(scope), "show", UNIT, f"--property={','.join(_ASKED)}"])
    if error:
        return {"error": error}
    pairs = (line.partition("=") for line in found.splitlines())
    return {key: value for key, _, value in pairs if value}


def last_lines(scope: Scope) -> list[str]:
    """Return the newest lines of the service's log, oldest first; none where the journal can't be read."""
    which = ["--user-unit" if scope == "user" else "--unit", UNIT]
    found, _ = _asked(
        ["journalctl", *which, f"--lines={_LINES}", "--no-pager", "--quiet", "--output=short-iso"]
    )
    return found.splitlines()[-_LINES:]


def lingers() -> bool:
    """Whether this user's services run while nobody is logged in. Source: loginctl(1), enable-linger."""
    return (_LINGER / pwd.getpwuid(os.geteuid()).pw_name).exists()


def sandbox_trouble() -> str:
    """Return why this user's manager can't start a service in a user namespace of its own, empty when it can.

    A service that does nothing is started with the most telling of the settings of the drop-in.
    """
    command = ["systemd-run", "--user", "--wait", "--collect", "--quiet"]
    _, error = _asked([*command, *(f"--property={each}" for each in _TRIED), "true"])
    return error


def bring_up(steps: Sequence[str]) -> None:
    """Run the steps one after the other, as they are shown to people; their words go to standard error.

    Raises:
        UnitError: one failed; the rest was not run.
    """
    for number, step in enumerate(steps):
        words = [word for word in shlex.split(step, comments=True) if word != "sudo" or os.geteuid() != 0]
        try:
            done = subprocess.run(words, stdout=2, check=False, timeout=_STEP_S)
            why = f"exit code {done.returncode}" if done.returncode else ""
        except FileNotFoundError:
            why = f"there is no program {words[0]} here"
        except subprocess.TimeoutExpired:
            why = f"not done within {_STEP_S:.0f} s"
        if why:
            raise UnitError(
                f"{shlex.join(words)} failed",
                where=UNIT,
                why="; ".join(part for part in (why, not_running()) if part),
                remedy=" && ".join(shlex.join(shlex.split(s, comments=True)) for s in steps[number:]),
            )


def _user(scope: Scope) -> list[str]:
    return ["--user"] if scope == "user" else []


def _asked(command: list[str]) -> tuple[str, str]:
    """Return what a program printed, and why there is nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except FileNotFoundError:
        return "", f"this host has no {command[0]}"
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} did not answer within {_TIMEOUT_S} s"
    if done.returncode:
        return "", done.stderr.strip().partition("\n")[0] or f"{command[0]} exited {done.returncode}"
    return done.stdout, ""
