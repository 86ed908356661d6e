"""`clawd start`: becomes the daemon, or puts one into the background and waits until it is ready."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.launching import LOG_NAME, Launch, places_of, warnings_since
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out, say

app = command_app()

__all__ = ["LOG_NAME", "app", "warnings_since"]


@app.command()
def start(
    ctx: typer.Context,
    config: Annotated[str | None, typer.Option(metavar="PATH", help="The configuration file.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background; return once it is ready.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="With --detach: seconds to wait for ready.")] = 60,
    as_json: Json = False,
) -> None:
    """Start the daemon, here or in the background."""
    call = invocation(ctx)
    call.local_only("clawd start")
    places = places_of(config or call.config, call.environ)
    if detach:
        launch = Launch.begin(places, call.environ)
        _tell(launch, launch.ready(timeout), places.own_call(call.environ), as_json=as_json)
    else:
        sys.stdout.flush()
        command = places.command()
        os.execve(command[0], command, dict(call.environ))  # noqa: S606 - this process becomes the daemon


def _tell(launch: Launch, status: dict[str, object], program: str, *, as_json: bool) -> None:
    found = {
        "pid": launch.pid,
        "socket": str(launch.places.socket),
        "gateway": status["gateway"],
        "log": str(launch.places.log),
    }
    if as_json:
        emit(found)
        return
    out(f"clawd {status['version']} is ready, process {launch.pid}")
    out(f"socket   {found['socket']}")
    out(f"gateway  {found['gateway'] or 'off'}")
    out(f"log      {found['log']}")
    for warning in launch.warnings():
        say(f"warning: {warning}")
    say(f"next: {program} chat")
