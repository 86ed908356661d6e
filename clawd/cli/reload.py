"""`clawd reload`."""

from __future__ import annotations

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out, paint, say

app = command_app()


@app.command()
def reload(ctx: typer.Context, as_json: Json = False) -> None:
    """Load the configuration again. A broken one is refused (exit 78), and the old one stays in force."""
    report = invocation(ctx).client().post("/reload")
    if as_json:
        emit(report)
        return
    out(f"changed: {', '.join(report['changed']) or 'nothing'}")
    if report["restart_needed"]:
        out(paint(f"waits for a restart: {', '.join(report['restart_needed'])}", "yellow"))
        say("next: clawd restart")
