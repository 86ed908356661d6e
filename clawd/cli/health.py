"""`clawd health`, with all options; without any it does not even come here (`clawd.cli.main`)."""

from __future__ import annotations

import typer

from clawd.cli.checking_health import print_health
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json

app = command_app()


@app.command()
def health(ctx: typer.Context, as_json: Json = False) -> None:
    """Tell by the exit code whether the daemon works: 0 ready, 3 not running, 75 not ready or stuck."""
    print_health(invocation(ctx), as_json=as_json)
