"""`clawd status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clawd.cli import status_view
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out, say
from clawd.client import GLANCE_S
from clawd.errors import EXIT_USAGE, ClawdError

if TYPE_CHECKING:
    from clawd.cli.invocation import Invocation

app = command_app()


class WrongStatus(ClawdError):
    """The options contradict each other."""

    code = "E-USAGE"
    exit_code = EXIT_USAGE


@app.command()
def status(
    ctx: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep it on the screen, with rates; q or Ctrl-C leaves.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Print a report for a bug, with secrets and people hidden.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the daemon at a glance: version, queue, bridges, models. Exits 3 when none is running."""
    call = invocation(ctx)
    if everything:
        _report(call, watch=watch, as_json=as_json)
        return
    if watch:
        from clawd.cli.watch import watch as keep_showing

        keep_showing(call.client(), as_json=as_json)
        return
    found = call.client(timeout_s=GLANCE_S).get("/status")
    if as_json:
        emit(found)
    else:
        status_view.show(found)


def _report(call: Invocation, *, watch: bool, as_json: bool) -> None:
    if watch:
        raise WrongStatus(
            "--all is a report of one moment", where="clawd status", remedy="leave out --all or --watch"
        )
    call.local_only("clawd status --all")
    from clawd.cli.report import report
    from clawd.cli.report_text import markdown
    from clawd.jsonable import json_object

    made = report(call)
    if as_json:
        emit(json_object(made))
        return
    out(markdown(made).rstrip("\n"))
    say("Read it before you show it to others: you know best what nobody is to know.")
