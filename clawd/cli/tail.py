"""`clawd tail`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Limit
from clawd.cli.printing import SCHEMA_VERSION, clean, emit, out, paint, when
from clawd.cli.questions import Question
from clawd.client import RemoteError

app = command_app()


@app.command()
def tail(
    ctx: typer.Context,
    conversation: Annotated[str, typer.Argument(help="A name, or bridge:account:chat.")] = "default",
    limit: Limit = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what comes.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines; without --follow one object.")
    ] = (False),
) -> None:
    """Follow a conversation: its last entries, then each new one, until Ctrl-C."""
    client = invocation(ctx).client()
    page = client.get("/entries", conversation=conversation, limit=limit)
    if not follow:
        if as_json:
            emit(page)
        else:
            for entry in page["entries"]:
                show(entry)
        return
    for entry in page["entries"]:
        _print({"type": "entry", **entry}, as_json=as_json)
    with client.stream("/stream", conversation=conversation, after=page["cursor"]) as frames:
        for frame in frames:
            _print(frame, as_json=as_json)


def show(entry: dict[str, Any]) -> None:
    """Print one entry for people."""
    state = "" if entry["state"] in ("answered", "sent") else f" ({entry['state']})"
    head = f"{when(entry['at'])} {entry['role']}{state}"
    out(f"{paint(head, 'cyan' if entry['role'] == 'user' else 'green')}  {clean(entry['text'])}")


def _print(frame: dict[str, Any], *, as_json: bool) -> None:
    if frame["type"] == "error":
        raise RemoteError(500, frame["error"])
    if as_json:
        if frame["type"] != "ping":
            out(json.dumps({"schema_version": SCHEMA_VERSION, **frame}, ensure_ascii=False))
    elif frame["type"] == "entry":
        show(frame)
    elif frame["type"] == "question":
        question = Question.parse(frame)
        out(paint(f"? {question.asks} {question.call}", "yellow"))
    elif frame["type"] == "tool" and frame["phase"] == "started":
        out(paint(f"> {frame['name']}({clean(frame['summary'])})", "dim"))
    sys.stdout.flush()
