"""`clawd trace`."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clawd.cli.folding import put, screen
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import clean, duration, emit, one_line, out, paint, when
from clawd.cli.waterfall import BLOCKS, PLAIN, Bar, bars_of, drawn, length
from clawd.client import segment

if TYPE_CHECKING:
    from collections.abc import Sequence

app = command_app()

_PIPE_COLUMNS: Final = 100  # where nobody says how wide it is
_LEAST_COLUMNS: Final = 50


@app.command()
def trace(
    ctx: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="turn:… or delivery:…")],
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also each moment that is in the journal.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the path of one message, from its acceptance to its delivery, over its time."""
    found = invocation(ctx).client().get(f"/trace/{segment(identifier)}")
    spans = [{**span, "attributes": dict(span["attributes"])} for span in found.get("spans", ())]
    if as_json:
        emit({**found, "spans": spans})
        return
    if found["turn"]:
        _head(found["turn"])
    else:
        for delivery in found["deliveries"]:
            out(f"pushed to {delivery['conversation']}: {one_line(delivery['text'], 100)}")
    if spans:
        _waterfall(bars_of(spans))
    if verbose or not spans:  # a daemon of before has none
        out()
        _lines(found["lines"])
    if found["deliveries"]:
        out()
    for delivery in found["deliveries"]:
        put(_delivery(delivery), 2)


def _waterfall(bars: Sequence[Bar]) -> None:
    root = bars[0]
    took = length(root.length_s)
    committed = root.attributes.get("committed_s")
    told = [f"accepted {when(root.start.isoformat())}"] if root.kind == "turn" else []
    if committed is not None:
        told.append(f"committed after {length(committed)}")
    told.append(f"open for {took}" if root.open else f"over after {took}")
    out(", ".join(told))
    out()
    width = screen() or int(os.environ.get("COLUMNS", "") or _PIPE_COLUMNS)
    for line in drawn(bars, max(width, _LEAST_COLUMNS), BLOCKS if _shows_blocks() else PLAIN, paint):
        out(line.rstrip())
    if root.clock_set:
        out(paint("the clock was set back meanwhile: later times are moved so that they fit", "yellow"))


def _shows_blocks() -> bool:
    """Whether standard output shows more than ASCII."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return encoding.startswith("utf") and os.environ.get("TERM") != "dumb"


def _head(turn: dict[str, Any]) -> None:
    out(f"{paint(turn['id'], 'bold')}  {turn['state']}  {turn['conversation']}")
    put(f"question  {one_line(turn['question'], 100)}", 10)
    if turn["merged_into"]:
        out(f"part of   {turn['merged_into']}, which answered both; its trace goes on there")
    if turn["answer"]:
        put(f"answer    {one_line(turn['answer'], 100)}", 10)
    if turn["error"]:
        put(paint(f"error     {one_line(turn['error'], 200)}", "red"), 10)


def _lines(lines: list[dict[str, Any]]) -> None:
    began = datetime.fromisoformat(lines[0]["at"]) if lines else None
    for line in lines:
        after = (datetime.fromisoformat(line["at"]) - began).total_seconds() if began else 0.0
        detail = "  ".join(f"{key}={clean(value)}" for key, value in line["detail"])
        # Steps of one message are milliseconds apart; a wait of minutes reads better in minutes.
        offset = f"{after:.3f} s" if after < 100 else duration(after)
        put(f"  {when(line['at'])}  +{offset:<9}  {line['what']:<18}  {paint(detail, 'dim')}".rstrip(), 4)


def _delivery(delivery: dict[str, Any]) -> str:
    remote = f"  as {delivery['remote_id']}" if delivery["remote_id"] else ""
    why = f"  {one_line(delivery['why'], 120)}" if delivery["why"] else ""
    return f"{delivery['id']}  {delivery['state']}  attempt {delivery['attempt']}{remote}{why}"
