"""`clawd models`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clawd.cli import traffic
from clawd.cli.folding import fold
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import clean, columns, emit, out, paint, table, width_of
from clawd.cli.probing import probe, report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Model = Mapping[str, Any]
    Column = tuple[str, Callable[[Model], str]]

app = command_app()

TEST_S = 330.0
"""A model may take its whole total time-out, 300 s by default, before the daemon gives up."""

_WIDE: Final = 400  # no terminal shows more

_TRAFFIC: Final[tuple[Column, ...]] = (
    ("NAME", lambda model: str(model["name"])),
    ("STATE", traffic.state),
    ("/MIN", traffic.rate),
    ("FAILED", traffic.failed),
    ("FIRST s", lambda model: traffic.seconds(model, "first_token")),
    ("TOTAL s", lambda model: traffic.seconds(model, "total")),
    ("TOK/s", traffic.speed),
    ("RUN", lambda model: str(model.get("in_flight", 0))),
    ("WAIT", lambda model: str(model.get("waiting", 0))),
)
# What a narrow terminal shows below the table, as this sentence.
_REST: Final[tuple[tuple[Column, str], ...]] = (
    (("TYPE", lambda model: str(model["type"])), "{}"),
    (("MODEL", lambda model: clean(model["model"])), "{}"),
    (("ROUTES", lambda model: ", ".join(model["routes"]) or traffic.NOTHING), "routes {}"),
    (("$/M", traffic.price), "${} for a million tokens"),
    (("FOUND", lambda model: clean(model["found"])), "found: {}"),
    (("PLACE", lambda model: clean(model["place"]) or traffic.NOTHING), "at {}"),
)


@app.command("list")
def list_models(ctx: typer.Context, as_json: Json = False) -> None:
    """List the models with their state and their traffic.

    Numbers are of the last five minutes. FIRST s and TOTAL s are seconds until the first token and until
    the end, for half of the answers and for 95 % of them. A wide terminal shows in the table what a narrow one shows below it.
    """
    answer = invocation(ctx).client().get("/models")
    if as_json:
        emit(answer)
    else:
        show(answer["models"], shutil.get_terminal_size().columns)


def show(models: Sequence[Model], width: int) -> None:
    """Print models for people: as much as fits in a table, the rest below it."""
    shown, below = _columns(models, min(width, _WIDE))
    table([head for head, _ in shown], [[cell(model) for _, cell in shown] for model in models])
    for model in models:
        cells = [(words, cell(model)) for (_, cell), words in below]
        facts = [words.format(text) for words, text in cells if text != traffic.NOTHING]
        lines = _folded(facts, width - 2)
        troubles = traffic.trouble(model)
        if lines or troubles:
            out()
            out(paint(str(model["name"]), "bold"))
        for line in lines:
            out(f"  {line}")
        for line in troubles:
            out(paint(fold(f"  {line}", 4, width), "yellow"))


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


def _columns(models: Sequence[Model], width: int) -> tuple[Sequence[Column], Sequence[tuple[Column, str]]]:
    """Return the columns of the table, and those that no longer fit into the width."""
    shown = list(_TRAFFIC)
    for at, (column, _) in enumerate(_REST):
        wider = [*shown, column]
        rows = [[head for head, _ in wider], *([cell(model) for _, cell in wider] for model in models)]
        if width_of(rows) > width:
            return shown, _REST[at:]
        shown = wider
    return shown, ()


def _folded(facts: Sequence[str], width: int) -> list[str]:
    """Return facts on as few lines as the width allows; none is broken."""
    lines: list[str] = []
    for fact in facts:
        if lines and columns(f"{lines[-1]}, {fact}") <= width:
            lines[-1] += f", {fact}"
        else:
            lines.append(fact)
    return lines
