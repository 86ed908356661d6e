"""`clawd dead`: what was given up."""

from __future__ import annotations

from typing import Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Limit, Yes, confirm
from clawd.cli.printing import emit, one_line, out, say, table, when

app = command_app()

DeadArgument = Annotated[str, typer.Argument(metavar="ID", help="turn:…, delivery:… or update:…")]


@app.command("list")
def list_dead(ctx: typer.Context, limit: Limit = 100, as_json: Json = False) -> None:
    """List what was given up. These are turns, deliveries and updates, and deliveries that are held."""
    answer = invocation(ctx).client().get("/dead", limit=limit)
    if as_json:
        emit(answer)
        return
    if not answer["dead"]:
        say("nothing was given up")
        return
    table(
        ("ID", "STATE", "AT", "WHERE", "WHY", "TEXT"),
        [
            [
                item["id"],
                item["state"],
                when(item["at"]),
                item["conversation"] or item["bridge"],
                one_line(item["why"], 60),
                one_line(item["text"], 40),
            ]
            for item in answer["dead"]
        ],
    )
    say("try one again: clawd dead resubmit ID, or forget it: clawd dead drop ID")


@app.command()
def resubmit(ctx: typer.Context, identifier: DeadArgument, as_json: Json = False) -> None:
    """Give it another chance. A held delivery may arrive twice by that."""
    answer = invocation(ctx).client().post("/dead/resubmit", {"id": identifier})
    if as_json:
        emit(answer)
    else:
        out(answer["id"])


@app.command()
def drop(ctx: typer.Context, identifier: DeadArgument, yes: Yes = False) -> None:
    """Forget it for good."""
    confirm(f"Drop {identifier} for good?", yes=yes)
    invocation(ctx).client().post("/dead/drop", {"id": identifier})
    out(f"{identifier} is dropped")
