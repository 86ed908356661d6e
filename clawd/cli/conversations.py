"""`clawd conversations`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clawd.cli.folding import fitted_table
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Limit, Yes, confirm
from clawd.cli.printing import SCHEMA_VERSION, clean, counted, emit, one_line, out, say, when
from clawd.cli.tail import show as show_entry
from clawd.cli.transcripts import Frame, jsonl, markdown, one_object
from clawd.cli.writing import write_new
from clawd.client import RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

app = command_app()

_DELETE_S = 600.0  # a database of 256 MB is rewritten, and readers are waited for


class Form(StrEnum):
    """How an export is written."""

    MARKDOWN = "markdown"
    JSON = "json"
    JSONL = "jsonl"


Name = Annotated[str, typer.Argument(metavar="CONVERSATION", help="A name, or bridge:account:chat.")]


@app.command("list")
def list_conversations(ctx: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """List conversations, the last used first."""
    answer = invocation(ctx).client().get("/conversations", limit=limit)
    if as_json:
        emit(answer)
        return
    if not answer["conversations"]:
        out("no conversation yet")
        return
    fitted_table(
        ("ADDRESS", "TURNS", "OPEN", "LAST", "TEXT"),
        [
            [
                item["address"],
                str(item["turns"]),
                str(item["open_turns"]),
                when(item["last_at"]),
                one_line(item["last_text"], 50),
            ]
            for item in answer["conversations"]
        ],
    )


@app.command()
def show(ctx: typer.Context, conversation: Name, limit: Limit = 50, as_json: Json = False) -> None:
    """Show the last entries of a conversation."""
    page = invocation(ctx).client().get("/entries", conversation=conversation, limit=limit)
    if as_json:
        emit(page)
        return
    for entry in page["entries"]:
        show_entry(entry)
    if not page["entries"]:
        say(f"nothing was said in {one_line(conversation)} yet")


@app.command()
def export(
    ctx: typer.Context,
    conversation: Name,
    form: Annotated[
        Form, typer.Option("--format", help="For people, as one object, or as lines.")
    ] = Form.MARKDOWN,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there, for your eyes only."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Print a whole conversation. Messages, answers, tool calls with their results, deliveries, times, usage."""
    form = Form.JSON if as_json else form
    with invocation(ctx).client().stream("/export", conversation=conversation) as stream:
        pieces = _written(_exported(stream), form)
        if output is None:
            sys.stdout.writelines(pieces)
            return
        write_new(output, pieces, force=force)
    out(str(output))


@app.command()
def reset(ctx: typer.Context, conversation: Name) -> None:
    """Begin a new session. What was said before is no longer part of the context."""
    invocation(ctx).client().post("/conversations/reset", {"conversation": conversation})
    out(f"{conversation} begins anew")


@app.command()
def delete(ctx: typer.Context, conversation: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Remove a conversation for good, also from the files. One with open turns is refused."""
    confirm(f"Delete {conversation} with all its turns for good?", yes=yes)
    answer = (
        invocation(ctx)
        .client()
        .post("/conversations/delete", {"conversation": conversation}, timeout_s=_DELETE_S)
    )
    if as_json:
        emit(answer)
    else:
        out(f"{conversation} is deleted, with {counted(answer['turns'], 'turn')}")
    if not answer["clean"]:
        say(
            "a reader is in the way: parts of it stay in the files until the next deletion, or the next start"
        )
    if answer["backups"]:
        say(
            f"{counted(answer['backups'], 'backup')} in STATE_DIR/backups, and any elsewhere, may still hold it"
        )


def _exported(stream: Iterable[Frame]) -> Iterator[Frame]:
    """Yield an export's frames up to its end; raises what the daemon says went wrong on the way."""
    for frame in stream:
        if frame["type"] == "error":
            raise RemoteError(500, frame["error"])
        if frame["type"] == "done":
            return
        yield frame


def _written(frames: Iterable[Frame], form: Form) -> Iterator[str]:
    match form:
        case Form.MARKDOWN:
            return (clean(piece) for piece in markdown(frames))
        case Form.JSON:
            return one_object(frames, SCHEMA_VERSION)
        case Form.JSONL:
            return jsonl(frames)
