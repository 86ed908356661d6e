"""`clawd start`: becomes the daemon, or puts one into the background and waits until it is ready."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd.cli.folding import fold
from clawd.cli.invocation import invocation
from clawd.cli.launching import LOG_NAME, Launch, places_of, warnings_since
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out, say
from clawd.cli.status_view import gateway
from clawd.ports import holder_of_port

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        tell_ready(launch, launch.ready(timeout), places.own_call(call.environ), as_json=as_json)
    else:
        sys.stdout.flush()
        command = places.command()
        os.execve(command[0], command, dict(call.environ))  # noqa: S606 - this process becomes the daemon


def tell_ready(launch: Launch, status: Mapping[str, Any], program: str, *, as_json: bool) -> None:
    """Print where a daemon that was put into the background is found; `program` is how a person calls clawd here."""
    tell_status(status, as_json=as_json)
    if not as_json:
        for warning in launch.warnings():
            say(fold(f"warning: {warning}", 9))
        say(f"next: {program} chat")


def tell_status(status: Mapping[str, Any], *, as_json: bool) -> None:
    """Print where a daemon is found."""
    log = str(Path(status["state_dir"]) / LOG_NAME)
    if as_json:
        found = {key: status.get(key) for key in ("pid", "socket", "gateway", "gateway_moved_from")}
        emit({**found, "log": log})
        return
    out(f"clawd {status['version']} is ready, process {status['pid']}")
    out(f"socket   {status['socket']}")
    out(f"gateway  {gateway(status)}")
    out(f"log      {log}")
    if (moved := status.get("gateway_moved_from")) is not None:
        holder = holder_of_port(moved) or "another program"
        say(fold(f"warning: port {moved} is used by {holder}; gateway.port sets another one", 9))
