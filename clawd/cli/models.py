"""`clawd models`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import clean, emit, out, paint, table
from clawd.cli.probing import probe, report

app = command_app()

TEST_S = 330.0
"""A model may take its whole total time-out, 300 s by default, before the daemon gives up."""


@app.command("list")
def list_models(ctx: typer.Context, as_json: Json = False) -> None:
    """List the models, where each was found and which routes use it."""
    answer = invocation(ctx).client().get("/models")
    if as_json:
        emit(answer)
        return
    table(
        ("NAME", "TYPE", "MODEL", "PLACE", "FOUND", "ROUTES", "CALLS", "FAILED"),
        [_row(model) for model in answer["models"]],
    )
    for model in answer["models"]:
        if model["last_error"]:
            out(paint(f"{model['name']}: {clean(model['last_error'])}", "yellow"))


@app.command("test")
def probe_models(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A model's name; without one all are tested.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a model for a word. Exits 0 when it answers, 4 when the key is refused, 69 when out of reach."""
    client = invocation(ctx).client()
    names = [name] if name else [model["name"] for model in client.get("/models")["models"]]
    probes = (probe(client, "models", each, TEST_S) for each in names)
    report("models", probes, as_json=as_json)


def _row(model: dict[str, Any]) -> list[str]:
    return [
        model["name"],
        model["type"],
        model["model"],
        model["place"],
        model["found"],
        ", ".join(model["routes"]) or "-",
        str(model["calls"]),
        str(model["errors"]),
    ]
