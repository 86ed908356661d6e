"""`clawd conversations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Limit, Yes, confirm
from clawd.cli.printing import counted, emit, one_line, out, say, table, when
from clawd.cli.tail import show as show_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.client import Client

app = command_app()

_PAGE = 1000

Name = Annotated[str, typer.Argument(metavar="CONVERSATION", help="A name, or bridge:account:chat.")]


@app.command("list")
def list_conversations(ctx: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """List conversations, the last used first."""
    answer = invocation(ctx).client().get("/conversations", limit=limit)
    if as_json:
        emit(answer)
        return
    table(
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
def export(ctx: typer.Context, conversation: Name, as_json: Json = False) -> None:
    """Print a whole conversation as Markdown, or as one JSON object."""
    entries = _all_entries(invocation(ctx).client(), conversation)
    if as_json:
        emit({"conversation": conversation, "entries": list(entries)})
        return
    out(f"# {conversation}")
    for entry in entries:
        out(f"\n## {entry['role']}, {entry['at']}\n\n{entry['text']}")


@app.command()
def reset(ctx: typer.Context, conversation: Name) -> None:
    """Begin a new session. What was said before is no longer part of the context."""
    invocation(ctx).client().post("/conversations/reset", {"conversation": conversation})
    out(f"{conversation} begins anew")


@app.command()
def delete(ctx: typer.Context, conversation: Name, yes: Yes = False, as_json: Json = False) -> None:
    """Remove a conversation for good. One with open turns is refused."""
    confirm(f"Delete {conversation} with all its turns for good?", yes=yes)
    answer = invocation(ctx).client().post("/conversations/delete", {"conversation": conversation})
    if as_json:
        emit(answer)
    else:
        out(f"{conversation} is deleted, with {counted(answer['turns'], 'turn')}")


def _all_entries(client: Client, conversation: str) -> Iterator[dict[str, Any]]:
    """Yield every entry from the first on, page by page."""
    cursor = "0"  # clawd.journal.reading.BEGINNING, spelled out: commands import nothing of the daemon
    while True:
        page = client.get("/entries", conversation=conversation, after=cursor, limit=_PAGE)
        yield from page["entries"]
        if len(page["entries"]) < _PAGE:
            return
        cursor = page["cursor"]
