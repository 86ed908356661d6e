"""`clawd tokens`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, out, say, table, when
from clawd.moments import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.response import JsonValue

app = command_app()

_EXPIRES = "--expires 30d, or 2027-01-31"


class Scope(StrEnum):
    """What a token allows."""

    CHAT = "chat"
    READ = "read"
    METRICS = "metrics"
    ADMIN = "admin"


@app.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="What the token is called; its conversations belong to the name.")
    ],
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it allows, chat by default; may be repeated.")
    ] = None,
    conversations: Annotated[
        str, typer.Option(metavar="PREFIX", help="Only conversations whose name begins so.")
    ] = "",
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="A span such as 30d, 12h or 1y, or a date.")
    ] = None,
    rate: Annotated[str | None, typer.Option(metavar="N/min", help="Requests: N/s, N/min or N/h.")] = None,
    day: Annotated[int | None, typer.Option(min=1, metavar="N", help="Messages a day.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, once: clawd keeps only its hash."""
    until = None if expires is None else moment(expires, datetime.now(UTC), remedy=_EXPIRES)
    body: dict[str, JsonValue] = {
        "name": name,
        "scopes": [str(each) for each in scope or [Scope.CHAT]],
        "conversations": conversations,
        "expires_at": None if until is None else until.isoformat(),
        "rate": rate,
        "day": day,
    }
    answer = invocation(ctx).client().post("/tokens/create", body)
    if as_json:
        emit({"name": name, "token": answer["token"]})
        return
    out(answer["token"])
    say("Keep it now: it is not shown again. `clawd tokens revoke` ends it.")


@app.command("list")
def list_tokens(ctx: typer.Context, as_json: Json = False) -> None:
    """List the tokens in force, without their values."""
    answer = invocation(ctx).client().get("/tokens")
    if as_json:
        emit(answer)
        return
    table(
        ("NAME", "SCOPES", "CONVERSATIONS", "LIMITS", "EXPIRES", "LAST USED", "BY"),
        [
            [
                token["name"],
                ",".join(token["scopes"]),
                f"{token['conversations']}…" if token["conversations"] else "all",
                _limits(token),
                "expired" if token["expired"] else when(token["expires_at"]),
                when(token["last_used_at"]),
                token["source"],
            ]
            for token in answer["tokens"]
        ],
    )


@app.command()
def revoke(ctx: typer.Context, name: Annotated[str, typer.Argument(help="See `clawd tokens list`.")]) -> None:
    """End a token at once, also the connections that it has open."""
    invocation(ctx).client().post("/tokens/revoke", {"name": name})
    out(f"the token {name} counts no more")


def _limits(token: Mapping[str, object]) -> str:
    found = [str(token["rate"])] if token["rate"] else []
    if token["day"]:
        found.append(f"{token['messages_today']} of {token['day']}/day")
    return ", ".join(found)
