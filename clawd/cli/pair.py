"""`clawd pair`."""

from __future__ import annotations

from typing import Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, one_line, out, say, table, when

app = command_app()


@app.command("list")
def list_pairs(ctx: typer.Context, as_json: Json = False) -> None:
    """List who waits to be let in, and who was."""
    answer = invocation(ctx).client().get("/pairings")
    if as_json:
        emit(answer)
        return
    if answer["pending"]:
        table(
            ("CODE", "BRIDGE", "SENDER", "NAME", "UNTIL"),
            [
                [p["code"], p["bridge"], p["sender"], one_line(p["name"], 40), when(p["expires_at"])]
                for p in answer["pending"]
            ],
        )
        say("let one in: clawd pair approve CODE\n")
    if not answer["principals"]:
        out("nobody was let in by a code")
        return
    table(
        ("PRINCIPAL", "RIGHT", "NAME", "SINCE", "BY"),
        [
            [p["principal"], p["right"], one_line(p["name"], 40), when(p["since"]), p["source"]]
            for p in answer["principals"]
        ],
    )


@app.command()
def approve(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(help="The code that the stranger was told.")],
    owner: Annotated[bool, typer.Option("--owner", help="With an owner's rights.")] = False,
    as_json: Json = False,
) -> None:
    """Let somebody in."""
    principal = invocation(ctx).client().post("/pairings/approve", {"code": code, "owner": owner})
    if as_json:
        emit(principal)
    else:
        name = f" ({one_line(principal['name'], 40)})" if principal["name"] else ""
        out(f"{principal['principal']}{name} is let in with the right: {principal['right']}")


@app.command()
def revoke(
    ctx: typer.Context,
    principal: Annotated[str, typer.Argument(help="BRIDGE:SENDER, see `clawd pair list`.")],
) -> None:
    """Let somebody out again: from now on a stranger."""
    invocation(ctx).client().post("/pairings/revoke", {"principal": principal})
    out(f"{principal} is no longer let in")
