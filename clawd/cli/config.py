"""`clawd config`: check and show the configuration. None of it needs a daemon."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd import paths
from clawd.cli.invocation import Invocation, invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out, paint, say, table
from clawd.errors import ConfigError, four_lines

if TYPE_CHECKING:
    from clawd.config.loader import LoadedConfig
    from clawd.errors import ConfigProblem

app = command_app()

File = Annotated[Path | None, typer.Argument(help="A file, instead of the one in force.", show_default=False)]


@app.command()
def check(ctx: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Tell every mistake of the configuration. Exits 78 when there is one."""
    call = invocation(ctx)
    try:
        path = _path(call, file)
        loaded = _load(call, path)
        _check_tls(loaded)
    except ConfigError as error:
        if not as_json:
            if not any(problem.remedy for problem in error.problems[:1]):
                error.remedy = ""  # this command is the remedy of all others that meet such a file
            raise
        problems = [_problem(problem) for problem in error.problems]
        emit({"valid": False, "path": error.problems[0].path, "problems": problems, "notes": []})
        raise typer.Exit(error.exit_code) from None
    if as_json:
        emit(
            {"valid": True, "path": str(path) if path else None, "problems": [], "notes": list(loaded.notes)}
        )
        return
    for note in loaded.notes:
        say(f"{paint('note', 'yellow')}: {note}")
    out(
        f"{path}: no problems found"
        if path
        else "no configuration file: every default holds (clawd init writes one)"
    )


@app.command()
def show(
    ctx: typer.Context,
    file: File = None,
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value comes from.")] = False,
    as_json: Json = False,
) -> None:
    """Show all settings. Defaults are filled in, and secrets masked."""
    from clawd.config.view import leaves, view

    call = invocation(ctx)
    path = _path(call, file)
    loaded = _load(call, path)
    values = view(loaded.config)
    origins = {key: loaded.origins.get(key, "default") for key, _ in leaves(values)}
    if as_json:
        emit(
            {
                "path": str(path) if path else None,
                "config": values,
                **({"origins": origins} if origin else {}),
            }
        )
    elif origin:
        rows = [(key, json.dumps(value, ensure_ascii=False), origins[key]) for key, value in leaves(values)]
        table(("key", "value", "origin"), rows)
    else:
        import yaml

        out(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).rstrip())


@app.command("path")
def show_path(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Show every place, with what is there.")] = False,
    as_json: Json = False,
) -> None:
    """Show which file is used. With --all also where state and socket are."""
    call = invocation(ctx)
    path = paths.config_path(call.config, call.environ)
    if not everything:
        if as_json:
            emit({"path": str(path) if path else None})
        elif path:
            out(str(path))
        else:
            say("There is no configuration file; it would be one of these:")
            for candidate in paths.config_candidates(call.environ):
                out(str(candidate))
        return
    places = _places(call, path)
    if as_json:
        emit({"path": str(path) if path else None, "places": places})
        return
    rows = [(place["what"], place["path"], "there" if place["exists"] else "-") for place in places]
    table(("what", "path", ""), rows)


@app.command()
def schema(ctx: typer.Context) -> None:
    """Print a JSON Schema for editors. It covers every installed plugin."""
    from clawd.config.jsonschema import config_schema
    from clawd.plugins import find_plugins

    invocation(ctx)
    found, broken = config_schema(find_plugins())
    for error in broken:
        say(four_lines(error))
    out(json.dumps(found, ensure_ascii=False, indent=2))


def _path(call: Invocation, file: Path | None) -> Path | None:
    return paths.config_path(str(file) if file else call.config, call.environ)


def _load(call: Invocation, path: Path | None) -> LoadedConfig:
    from clawd.config.loader import load_config
    from clawd.plugins import find_plugins

    return load_config(path, call.environ, find_plugins())


def _check_tls(loaded: LoadedConfig) -> None:
    """Raise ConfigError for TLS files that a start could not use."""
    from clawd.cli.checks.tls import tls_problem

    if (problem := tls_problem(loaded)) is not None:
        raise ConfigError([problem])


def _problem(problem: ConfigProblem) -> dict[str, Any]:
    return {
        "path": problem.path,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "message": problem.message,
        "remedy": problem.remedy,
    }


def _places(call: Invocation, path: Path | None) -> list[dict[str, Any]]:
    named = [] if path in (found := paths.config_candidates(call.environ)) or path is None else [path]
    state = paths.configured_state_dir(path, call.environ) if path else None
    places = [("config", candidate) for candidate in (*named, *found)]
    places.append(("state", paths.state_dir(state, call.environ)))
    with contextlib.suppress(ConfigError):  # a broken file has its own place, and no daemon
        sockets = paths.socket_candidates(call.socket, call.config, call.environ)
        places += [("socket", socket) for socket in sockets]
    return [{"what": what, "path": str(place), "exists": place.exists()} for what, place in places]
