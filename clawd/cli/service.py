"""`clawd service`: the systemd unit. Works without a daemon and starts nothing by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from clawd.cli.invocation import Invocation, invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out
from clawd.cli.units import UNIT, Scope, UnitError, Units, check_reachable, remove, units, write
from clawd.errors import EXIT_NOT_RUNNING

app = command_app()

_ASKED = ("ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "Result", "StatusText")
_TIMEOUT_S = 5

User = Annotated[
    bool | None,
    typer.Option("--user/--system", help="For you alone, or for the whole host (the default for root)."),
]
Root = Annotated[
    Path,
    typer.Option("--root", metavar="DIR", help="Write below this directory, for packages and images."),
]


@app.command()
def install(
    ctx: typer.Context,
    user: User = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print what would be written, and write nothing.")
    ] = False,
    root: Root = Path("/"),
) -> None:
    """Write the systemd unit, and say what to run next."""
    call = invocation(ctx)
    call.local_only("clawd service")
    wanted = _units(call, user, root)
    if print_only:
        out("\n".join(f"# {file.path}\n{file.text}" for file in wanted.files).rstrip())
        return
    if wanted.scope == "system":
        check_reachable(_command(), Path(sys.executable).resolve())
    for file in wanted.files:
        write(file)
    out("Next:")
    for step in wanted.steps:
        out(f"  {step}")


@app.command()
def uninstall(ctx: typer.Context, user: User = None, root: Root = Path("/")) -> None:
    """Remove the systemd unit. Configuration and state stay."""
    call = invocation(ctx)
    call.local_only("clawd service")
    wanted = _units(call, user, root)
    flag = "--user " if wanted.scope == "user" else ""
    if wanted.enabled:
        raise UnitError(
            "the service is still enabled",
            where=str(wanted.wanted_by),
            remedy=f"systemctl {flag}disable --now clawd, then the same command again",
        )
    removed = [file.path for file in wanted.files if remove(file)]
    for path in removed:
        out(f"removed {path}")
    out(f"Next:\n  systemctl {flag}daemon-reload" if removed else "Nothing was installed.")


@app.command()
def status(ctx: typer.Context, user: User = None, root: Root = Path("/"), as_json: Json = False) -> None:
    """Show the unit and the service. Exits 3 unless the service runs."""
    call = invocation(ctx)
    call.local_only("clawd service")
    wanted = _units(call, user, root)
    text = wanted.unit.present
    unit = "missing" if text is None else "current" if text == wanted.unit.text else "differs"
    state = _systemd(wanted.scope)
    if as_json:
        emit({"scope": wanted.scope, "path": str(wanted.unit.path), "unit": unit, "systemd": state})
    else:
        hint = {"missing": "clawd service install", "differs": "clawd service install writes it anew"}.get(
            unit
        )
        out(f"unit     {wanted.unit.path}: {unit}" + (f" ({hint})" if hint else ""))
        for key, value in state.items():
            out(f"{key:14} {value}")
    if state.get("ActiveState") != "active":
        raise typer.Exit(EXIT_NOT_RUNNING)


def _units(asked: Invocation, user: bool | None, root: Path) -> Units:
    scope: Scope = "user" if (os.geteuid() != 0 if user is None else user) else "system"
    config = str(Path(asked.config).absolute()) if asked.config else None
    return units(scope, command=_command(), config=config, environ=asked.environ, root=root.absolute())


def _command() -> Path:
    """Return the program beside the interpreter that runs this; a link to it elsewhere may go away."""
    beside = Path(sys.executable).parent / "clawd"
    found = beside if beside.exists() else shutil.which("clawd")
    if found is None:
        raise UnitError(
            "the program clawd was not found",
            where=str(beside),
            remedy="pip install clawd-agent, in this Python",
        )
    return Path(found).absolute()


def _systemd(scope: Scope) -> dict[str, str]:
    """Return what systemd knows of the unit; under "error" why it can't be asked."""
    command = [
        "systemctl",
        *(["--user"] if scope == "user" else []),
        "show",
        UNIT,
        f"--property={','.join(_ASKED)}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except FileNotFoundError:
        return {"error": "this host has no systemctl"}
    except subprocess.TimeoutExpired:
        return {"error": f"systemctl did not answer within {_TIMEOUT_S} s"}
    if done.returncode:
        return {"error": done.stderr.strip().partition("\n")[0] or f"systemctl exited {done.returncode}"}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs if value}
