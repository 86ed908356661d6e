"""The systemd files as this installation needs them: what they say and where they go."""

from __future__ import annotations

import re
import shlex
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from clawd.cli.printing import say
from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Mapping

Scope = Literal["system", "user"]

UNIT: Final = "clawd.service"

_SHIPPED_COMMAND = "/opt/clawd/bin/clawd"  # what the files in the package say

# The system unit has ProtectHome=yes and PrivateTmp=yes: nothing in here exists for it.
_HIDDEN = tuple(Path(path) for path in ("/home", "/root", "/run/user", "/tmp", "/var/tmp"))  # noqa: S108 - not used

_STEPS: Final[dict[Scope, tuple[str, ...]]] = {
    "system": (
        "sudo systemd-sysusers",
        "sudo systemd-tmpfiles --create",
        "sudo systemctl daemon-reload",
        "sudo systemctl enable --now clawd",
        "sudo usermod -aG clawd $USER    # log in again, then `clawd status` works without sudo",
    ),
    "user": (
        "systemctl --user daemon-reload",
        "systemctl --user enable --now clawd",
        "loginctl enable-linger    # keeps it running when you log out",
    ),
}


_END: Final = "END-OF-FILE"
_SCRIPT_HEAD: Final[dict[Scope, tuple[str, ...]]] = {
    "system": (
        "Each of these files with its place; as a script it writes them:",
        "clawd service install --system --print | sudo sh",
    ),
    "user": (
        "The unit with its place; as a script this writes it:",
        "clawd service install --user --print | sh",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFile:
    """One file of the service."""

    path: Path
    text: str

    @property
    def present(self) -> str | None:
        """What is there now, None when nothing is."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """All files of the service in one scope, the unit first, and what to run once they are written."""

    scope: Scope
    files: tuple[UnitFile, ...]
    wanted_by: Path  # the link that `systemctl enable` makes
    state: Path | None = None  # a directory that the unit names, without which it would not start

    @property
    def unit(self) -> UnitFile:
        """The service itself."""
        return self.files[0]

    @property
    def steps(self) -> tuple[str, ...]:
        """The commands that bring it up, in order, and behind them what most people want as well."""
        return _STEPS[self.scope]

    @property
    def needed_steps(self) -> tuple[str, ...]:
        """Those without which it does not run."""
        return self.steps[:-1]

    @property
    def further_steps(self) -> tuple[str, ...]:
        """What is left to the person: it changes more than this service."""
        return self.steps[-1:]

    @property
    def enabled(self) -> bool:
        """Whether systemd starts it by itself."""
        return self.wanted_by.is_symlink()


class UnitError(ClawdError):
    """The unit can't be written, or can't work here."""

    code = "E-SERVICE"


def units(
    scope: Scope,
    *,
    command: Path,
    config: str | None,
    environ: Mapping[str, str],
    root: Path = Path("/"),
    sandbox: bool = False,
    writable: Path | None = None,
) -> Units:
    """Return the files of the service.

    Args:
        scope: For the whole host, or for the user who asks.
        command: The program `clawd`, absolute.
        config: A configuration file to name in the unit, None for the usual places.
        environ: For $XDG_CONFIG_HOME and $HOME, of the user's scope.
        root: Where the file system begins that they are written to; packages and images have their own.
        sandbox: Of the user's scope: with the drop-in that needs a user namespace, see `manager.sandbox_trouble`.
        writable: What the drop-in leaves writable beside the home: a state directory elsewhere.
    """
    if scope == "user":
        path = unit_paths(environ, root)[1]
        base = path.parent
        unit = UnitFile(path=path, text=_rendered("clawd-user.service", command, config))
        files = (unit, UnitFile(path=_drop_in(base), text=_sandbox(writable))) if sandbox else (unit,)
        state = _below(root, writable) if sandbox and writable else None
        return Units(scope=scope, files=files, wanted_by=base / "default.target.wants" / UNIT, state=state)
    etc = _below(root, Path("/etc"))
    base = etc / "systemd" / "system"
    return Units(
        scope=scope,
        files=(
            UnitFile(path=base / UNIT, text=_rendered(UNIT, command, config)),
            UnitFile(path=etc / "sysusers.d" / "clawd.conf", text=_shipped("clawd.sysusers")),
            UnitFile(path=etc / "tmpfiles.d" / "clawd.conf", text=_shipped("clawd.tmpfiles")),
        ),
        wanted_by=base / "multi-user.target.wants" / UNIT,
    )


def script(wanted: Units) -> str:
    """Return a shell script that puts each file in its place and shows what to run then; a person can read it as well.

    What stands there already is replaced.
    """
    lines = [*("# " + line for line in _SCRIPT_HEAD[wanted.scope]), "set -e"]
    if wanted.state is not None:
        place = shlex.quote(str(wanted.state))
        lines += ["", f"test -d {place} || install -d -m 700 {place}"]
    for file in wanted.files:
        if _END in file.text.splitlines():
            raise UnitError("a file has the line that would end it in a script", where=str(file.path))
        place = shlex.quote(str(file.path))
        lines += ["", f"install -D -m 644 /dev/stdin {place} <<'{_END}'", file.text.rstrip("\n"), _END]
    return "\n".join([*lines, "", "# Then:", *(f"#   {step}" for step in wanted.steps)]) + "\n"


def sandbox_path(environ: Mapping[str, str], root: Path = Path("/")) -> Path:
    """Return where the drop-in of the user's unit is installed."""
    return _drop_in(unit_paths(environ, root)[1].parent)


def _drop_in(base: Path) -> Path:
    return base / f"{UNIT}.d" / "sandbox.conf"


def _sandbox(writable: Path | None) -> str:
    text = _shipped("clawd-user-sandbox.conf")
    return text if writable is None else f"{text}ReadWritePaths={_path(writable)}\n"


def unit_paths(environ: Mapping[str, str], root: Path = Path("/")) -> tuple[Path, Path]:
    """Return where the unit is installed: for the whole host, and for this user."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    return (
        _below(root, Path("/etc/systemd/system")) / UNIT,
        _below(root, Path(home) / "systemd" / "user") / UNIT,
    )


def check_reachable(*paths: Path) -> None:
    """Return when the system unit can reach these paths.

    Raises:
        UnitError: one lies where the unit's protection hides it.
    """
    for path in paths:
        for hidden in _HIDDEN:
            if path.is_relative_to(hidden):
                raise UnitError(
                    "the system service could not reach this installation",
                    where=str(path),
                    why=f"the unit hides {hidden} (ProtectHome, PrivateTmp), where other users' files are",
                    remedy="clawd service install --user, or install into /opt/clawd first",
                )


def _rendered(name: str, command: Path, config: str | None) -> str:
    """Return a unit with the real command; raises UnitError for a path that no unit can name."""
    if set(str(command)) & set("\"'\\"):
        raise UnitError("systemd takes no program with quotes in its path", where=str(command))
    line = _path(command)
    if config is not None:
        line += f" --config {quoted(config)}"
    return _shipped(name).replace(_SHIPPED_COMMAND, line)


def quoted(word: str) -> str:
    """Return an argument as a unit's command line takes it.

    Source: systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers".
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[A-Za-z0-9_./:@%+,=-]+", word) else f'"{escaped}"'


def _path(path: Path) -> str:
    """Return a path as a unit takes it: unlike arguments it takes part in no substitution of variables."""
    return quoted(str(path)).replace("$$", "$")


def _shipped(name: str) -> str:
    return (files("clawd") / "units" / name).read_text(encoding="utf-8")


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def write(file: UnitFile) -> Path | None:
    """Write one file whole or not at all, and tell it; another one in its place is kept as NAME.old, and returned.

    Raises:
        UnitError: it can't be written.
    """
    kept = None
    try:
        before = file.present
        if before == file.text:
            say(f"unchanged {file.path}")
            return None
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.path.parent, delete=False, encoding="utf-8") as new:
            new.write(file.text)
        Path(new.name).chmod(0o644)
        if before is not None:
            kept = file.path.with_name(f"{file.path.name}.old")
            file.path.replace(kept)
            say(f"kept the former one as {kept}")
        Path(new.name).replace(file.path)
    except OSError as error:
        raise _not_allowed(file.path, error) from error
    say(f"wrote {file.path}")
    return kept


def make_state(wanted: Units) -> None:
    """Make the directory that the unit names, for its owner alone, if it is not there.

    Raises:
        UnitError: it can't be made.
    """
    if wanted.state is None or wanted.state.is_dir():
        return
    try:
        wanted.state.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise _not_allowed(wanted.state, error) from error
    say(f"made {wanted.state}")


def remove(file: UnitFile) -> bool:
    """Remove one file; return whether it was there. Raises UnitError."""
    try:
        file.path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_allowed(file.path, error) from error
    return True


def _not_allowed(path: Path, error: OSError) -> UnitError:
    remedy = "the same command with sudo, or with --user" if isinstance(error, PermissionError) else ""
    return UnitError("the unit's files can't be changed", where=str(path), why=str(error), remedy=remedy)
