"""`clawd turns`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd.cli.folding import fitted_table
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Limit
from clawd.cli.printing import emit, one_line, out, when
from clawd.cli.questions import Question
from clawd.client import segment

if TYPE_CHECKING:
    from clawd.client import Client

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
    client = invocation(ctx).client()
    answer = client.get("/turns", conversation=conversation, state=state or None, limit=limit)
    if as_json:
        emit(answer)
        return
    if not answer["turns"]:
        out("no such turn" if conversation or state else "no turn yet")
        return
    fitted_table(
        ("TURN", "STATE", "AT", "CONVERSATION", "MODEL", "QUESTION"),
        [
            [
                turn["id"],
                f"{turn['state']} ({turn['waits_for']})" if turn.get("waits_for") else turn["state"],
                when(turn["accepted_at"]),
                turn["conversation"],
                turn["model"] or "-",
                one_line(turn["question"], 50),
            ]
            for turn in answer["turns"]
        ],
    )
    for question in _waited_for(client, answer["turns"]):
        out(f"{question.turn} waits, {question.left()} left: {question.asks} {question.call}")


def _waited_for(client: Client, turns: list[dict[str, Any]]) -> list[Question]:
    """Return the questions of those turns that wait for a person."""
    waiting = {turn["id"] for turn in turns if turn["state"] == State.WAITING}
    if not waiting:
        return []
    found = (Question.parse(item) for item in client.get("/questions", limit=1000)["questions"])
    return [question for question in found if question.turn in waiting]


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
