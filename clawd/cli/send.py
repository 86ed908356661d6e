"""`clawd send`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out, say
from clawd.errors import EXIT_USAGE, ClawdError

if TYPE_CHECKING:
    from clawd.client import Client
    from clawd.response import JsonObject

app = command_app()


class NoText(ClawdError):
    """There is nothing to send."""

    code = "E-NO-TEXT"
    exit_code = EXIT_USAGE


@app.command()
def send(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(help="bridge:account:chat, see `clawd conversations list`.")],
    text: Annotated[str | None, typer.Argument(help="The text; - or nothing reads standard input.")] = None,
    identifier: Annotated[
        str | None, typer.Option("--id", help="Your own id: the same one is never sent twice.")
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", help="A file to send behind the text; may be given several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Push a text to a chat through the outbox, without a turn. Returns once it is stored."""
    words = _piped() if text in (None, "-") else text
    if not words or not words.strip():
        raise NoText("there is no text to send", remedy=f'clawd send {address} "TEXT"')
    client = invocation(ctx).client()
    body: JsonObject = {"address": address, "text": words, "id": identifier}
    if files:
        body["files"] = [_stored(client, path) for path in files]
    answer = client.post("/push", body)
    if as_json:
        emit(answer)
    elif answer["delivery"] is None:
        say("this id was sent before; nothing was sent again")
    else:
        out(answer["delivery"])


def _stored(client: Client, path: Path) -> str:
    """Bring a file to the daemon; return its id."""
    try:
        with path.open("rb") as file:
            return str(client.upload("/files", file, name=path.name)["id"])
    except OSError as error:
        raise NoText("the file can't be read", where=str(path), why=error.strerror or str(error)) from error


def _piped() -> str:
    return "" if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
