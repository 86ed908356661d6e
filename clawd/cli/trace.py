"""`clawd trace`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from clawd.cli.folding import put
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import clean, duration, emit, one_line, out, paint, when
from clawd.client import segment

app = command_app()


@app.command()
def trace(
    ctx: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="turn:… or delivery:…")],
    as_json: Json = False,
) -> None:
    """Show the path of one message, from its acceptance to its delivery."""
    found = invocation(ctx).client().get(f"/trace/{segment(identifier)}")
    if as_json:
        emit(found)
        return
    if found["turn"]:
        _head(found["turn"])
    else:
        for delivery in found["deliveries"]:
            out(f"pushed to {delivery['conversation']}: {one_line(delivery['text'], 100)}")
    _lines(found["lines"])
    for delivery in found["deliveries"]:
        put(_delivery(delivery), 2)


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
