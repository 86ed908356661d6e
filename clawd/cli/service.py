"""`clawd service`: the systemd unit. Works without a daemon, and starts nothing unless told to."""

from __future__ import annotations

import os
import shutil
import sys
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from clawd import paths
from clawd.cli import manager
from clawd.cli.folding import put
from clawd.cli.invocation import Invocation, invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Yes, confirm
from clawd.cli.printing import clean, emit, out, say
from clawd.cli.units import (
    Scope,
    UnitError,
    Units,
    check_reachable,
    make_state,
    remove,
    sandbox_path,
    script,
    units,
    write,
)
from clawd.errors import EXIT_NOT_RUNNING, ConfigError

app = command_app()

_DRIFT = 20
"""Lines of a changed unit that are shown."""

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
        bool, typer.Option("--print", help="Print a shell script that does it, and write nothing.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Enable and start it as well, after asking (--yes answers).")
    ] = False,
    yes: Yes = False,
    root: Root = Path("/"),
    sandbox: Annotated[
        bool | None,
        typer.Option(
            "--sandbox/--no-sandbox",
            help="With a user's unit: protect it by a user namespace as well. [default: if that works here]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --print: print the files and the steps as one JSON object.")
    ] = False,
) -> None:
    """Write the systemd unit, and say what to run next, or run it."""
    call = invocation(ctx)
    call.local_only("clawd service")
    wanted = _units(call, user, root)
    if sandbox is not None and wanted.scope == "system":
        raise UnitError(
            "the system's unit has all of it already", remedy="leave out --sandbox, or say --user"
        )
    if wanted.scope == "user" and _wants_sandbox(sandbox, sandbox_path(call.environ, root), root):
        wanted = _units(call, user, root, sandbox=True)
    if as_json and not print_only:
        raise UnitError("--json tells what --print would", remedy="clawd service install --print --json")
    if print_only and as_json:
        files = [{"path": str(file.path), "text": file.text} for file in wanted.files]
        emit({"scope": wanted.scope, "files": files, "steps": list(wanted.steps)})
        return
    if print_only:
        if wanted.scope == "system":
            _warn_of_hidden()
        out(script(wanted).rstrip("\n"))
        return
    if now and root != Path("/"):
        raise UnitError("with --root nothing is started", where=str(root), remedy="leave out --now")
    if wanted.scope == "system":
        check_reachable(_command(), Path(sys.executable).resolve())
    make_state(wanted)
    for file in wanted.files:
        write(file)
    if wanted.scope == "user" and len(wanted.files) == 1:
        _leave_out(sandbox_path(call.environ, root))
    if now:
        out("To run:" if not yes else "Running:")
    else:
        out("Next:")
    for step in wanted.steps:
        out(f"  {step}")
    if now:
        sys.stdout.flush()
        confirm("Run this now?", yes=yes)
        manager.bring_up(wanted.needed_steps)
        out("clawd runs as a service; clawd service status shows it")
        for step in wanted.further_steps:
            out(f"and if you want: {step}")


@app.command()
def uninstall(ctx: typer.Context, user: User = None, root: Root = Path("/")) -> None:
    """Remove the systemd unit. Configuration and state stay."""
    call = invocation(ctx)
    call.local_only("clawd service")
    wanted = _units(call, user, root, sandbox=True)
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
    if not removed:
        out("Nothing was installed.")
        return
    out(f"Next:\n  systemctl {flag}daemon-reload")
    config, state = _config(call), _state(call, wanted.scope)
    say(f"kept: the configuration ({config or 'none was made'}) and all that clawd knows ({state})")


@app.command()
def status(ctx: typer.Context, user: User = None, root: Root = Path("/"), as_json: Json = False) -> None:
    """Show the unit and the service. Exits 3 unless the service runs."""
    call = invocation(ctx)
    call.local_only("clawd service")
    wanted = _units(call, user, root)
    present = wanted.unit.present
    unit = _unit(wanted)
    state, lines = manager.properties(wanted.scope), manager.last_lines(wanted.scope) if present else []
    drift = _drift(wanted.unit.text, present) if present is not None else []
    why_not = manager.not_running()
    lingers = manager.lingers() if wanted.scope == "user" else True
    if as_json:
        found = {"scope": wanted.scope, "path": str(wanted.unit.path), "unit": unit, "systemd": state}
        emit({**found, "drift": drift, "log": lines, "lingers": lingers, "problem": why_not})
    else:
        put(f"unit     {wanted.unit.path}: {unit}{_hint(unit, wanted.scope)}", 9)
        for line in drift[:_DRIFT]:
            out(f"         {clean(line)}")
        for key, value in state.items():
            put(f"{key:14} {clean(value)}", 15)
        for line in lines:
            out(f"  {clean(line)}")
        if why_not:
            say(f"{why_not}: the unit has no effect; clawd start --detach runs clawd without it")
        elif unit != "missing" and not lingers:
            say("it ends when you log out; loginctl enable-linger keeps it running")
        if int(state.get("NRestarts", "0") or 0):
            say(
                f"systemd started it again {state['NRestarts']} times; clawd logs --level error, clawd doctor"
            )
    if state.get("ActiveState") != "active":
        raise typer.Exit(EXIT_NOT_RUNNING)


def unit_state(call: Invocation) -> dict[str, str]:
    """Return the unit and the service in a few words each, for a report."""
    try:
        wanted = _units(call, None, Path("/"))
    except UnitError as error:
        return {"error": str(error)}
    return {"scope": wanted.scope, "unit": _unit(wanted), **manager.properties(wanted.scope)}


def _unit(wanted: Units) -> str:
    text = wanted.unit.present
    return "missing" if text is None else "current" if text == wanted.unit.text else "differs"


def _hint(unit: str, scope: Scope) -> str:
    command = f"clawd service install --{scope}"
    return {"missing": f" ({command})", "differs": f" ({command} writes it anew)"}.get(unit, "")


def _drift(wanted: str, present: str) -> list[str]:
    """Return what differs: `-` what this version would write, `+` what is there."""
    lines = unified_diff(wanted.splitlines(), present.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _wants_sandbox(asked: bool | None, drop_in: Path, root: Path) -> bool:
    """Whether the drop-in is to be written, and says why it is not. One that is there stays, unless told otherwise."""
    if asked is not None or drop_in.exists() or root != Path("/"):
        return asked is not False and (asked is True or drop_in.exists())
    trouble = manager.sandbox_trouble()
    if trouble:
        say(f"without the sandbox of a user namespace ({clean(trouble)}); --sandbox writes it all the same")
    return not trouble


def _warn_of_hidden() -> None:
    """Say what would refuse an installation here; what is printed may be for another host."""
    try:
        check_reachable(_command(), Path(sys.executable).resolve())
    except UnitError as error:
        say(f"warning: on this host the service would not start: {error}")


def _leave_out(drop_in: Path) -> None:
    """Take away the drop-in of an earlier installation; kept as NAME.old, which systemd does not read."""
    if drop_in.exists():
        drop_in.replace(drop_in.with_name(f"{drop_in.name}.old"))
        say(f"took {drop_in} out of use (NAME.old)")


def _units(asked: Invocation, user: bool | None, root: Path, *, sandbox: bool = False) -> Units:
    scope: Scope = "user" if (os.geteuid() != 0 if user is None else user) else "system"
    config = str(Path(asked.config).absolute()) if asked.config else None
    return units(
        scope,
        command=_command(),
        config=config,
        environ=asked.environ,
        root=root.absolute(),
        sandbox=sandbox,
        writable=_elsewhere(asked) if sandbox else None,
    )


def _elsewhere(asked: Invocation) -> Path | None:
    """Return the state directory where it is not below the home, with all else that may be written."""
    state = _state(asked, "user").resolve()  # links may lead out of the home
    return None if state.is_relative_to(paths.home_dir(asked.environ).resolve()) else state


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


def _config(asked: Invocation) -> Path | None:
    """Return the configuration file in force, as far as it can be told from here."""
    try:
        return paths.config_path(asked.config, asked.environ)
    except ConfigError:
        return None


def _state(asked: Invocation, scope: Scope) -> Path:
    """Return where the service keeps its state."""
    path = _config(asked)
    configured = paths.configured_state_dir(path, asked.environ) if path else None
    return (
        Path("/var/lib/clawd")
        if scope == "system" and not configured
        else paths.state_dir(configured, asked.environ)
    )
