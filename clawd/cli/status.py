"""`clawd status`."""

from __future__ import annotations

from typing import Annotated

import typer

from clawd.cli import status_view
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit

app = command_app()


@app.command()
def status(
    ctx: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep it on the screen, with rates; q or Ctrl-C leaves.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the daemon at a glance: version, queue, bridges, models. Exits 3 when none is running."""
    client = invocation(ctx).client()
    if watch:
        from clawd.cli.watch import watch as keep_showing

        keep_showing(client, as_json=as_json)
    elif as_json:
        emit(client.get("/status"))
    else:
        status_view.show(client.get("/status"))
