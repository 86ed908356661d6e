"""`clawd bridges`."""

from __future__ import annotations

from typing import Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, one_line, out, say, table, when
from clawd.cli.probing import probe, report

app = command_app()

TEST_S = 90.0


@app.command("list")
def list_bridges(ctx: typer.Context, as_json: Json = False) -> None:
    """List the bridges and the state of each connection."""
    answer = invocation(ctx).client().get("/bridges")
    if as_json:
        emit(answer)
        return
    if not answer["bridges"]:
        out("no bridge is configured")
        say("clawd init asks for a Telegram bot; docs/bridges has the others")
        return
    table(
        ("NAME", "TYPE", "STATE", "SINCE", "WHY"),
        [
            [
                bridge["name"],
                bridge["type"],
                bridge["state"],
                when(bridge["since"]),
                one_line("; ".join(part for part in (bridge["error"], bridge["remedy"]) if part), 120),
            ]
            for bridge in answer["bridges"]
        ],
    )


@app.command("test")
def probe_bridge(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The key in `bridges:`.")],
    as_json: Json = False,
) -> None:
    """Ask the platform who we are there. Exits 0 when it knows us, 4 when it refuses our credentials.

    A bridge that is called is sent a signed sample through the gateway: it starts no turn and leaves no message.
    """
    client = invocation(ctx).client()
    report("bridges", iter([probe(client, "bridges", name, TEST_S)]), as_json=as_json)


@app.command("login")
def log_in_bridge(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The key in `bridges:`.")],
    as_json: Json = False,
) -> None:
    """Log in to a platform with your phone, on the daemon's host. A running daemon connects at once."""
    call = invocation(ctx)
    call.local_only("clawd bridges login")
    from clawd.cli.login import log_in

    log_in(call, name, as_json=as_json)
