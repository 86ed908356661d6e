"""`clawd turns`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Limit
from clawd.cli.printing import emit, one_line, out, table, when
from clawd.client import segment

app = command_app()

TurnArgument = Annotated[str, typer.Argument(metavar="ID", help="turn:…, see `clawd turns list`.")]


class State(StrEnum):
    """States of a turn."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


@app.command("list")
def list_turns(
    ctx: typer.Context,
    conversation: Annotated[
        str | None, typer.Option("--conversation", "-c", help="Only of this one: a name or an address.")
    ] = None,
    state: Annotated[State | None, typer.Option(help="Only in this state.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List turns."""
    answer = (
        invocation(ctx).client().get("/turns", conversation=conversation, state=state or None, limit=limit)
    )
    if as_json:
        emit(answer)
        return
    table(
        ("TURN", "STATE", "AT", "CONVERSATION", "MODEL", "QUESTION"),
        [
            [
                turn["id"],
                turn["state"],
                when(turn["accepted_at"]),
                turn["conversation"],
                turn["model"] or "-",
                one_line(turn["question"], 50),
            ]
            for turn in answer["turns"]
        ],
    )


@app.command()
def cancel(ctx: typer.Context, identifier: TurnArgument) -> None:
    """Stop an open turn; what it had written so far stays."""
    invocation(ctx).client().post(f"/turns/{segment(identifier)}/cancel")
    out(f"{identifier} is being cancelled")


@app.command()
def retry(ctx: typer.Context, identifier: TurnArgument, as_json: Json = False) -> None:
    """Ask a question again, as a new turn. It failed, was cancelled or given up."""
    answer = invocation(ctx).client().post(f"/turns/{segment(identifier)}/retry")
    if as_json:
        emit(answer)
    else:
        out(answer["id"])
