"""`clawd help`: what `-h` behind a command shows, for those who type it in front."""

from __future__ import annotations

from typing import Annotated

import typer

from clawd.cli.lazy import command_app

app = command_app()


@app.command()
def help_(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="A command, such as models test.")
    ] = None,
) -> None:
    """Show what a command does and takes; without one, all commands."""
    from clawd.cli.root import program

    program().main(args=[*(command or ()), "--help"], prog_name="clawd", standalone_mode=False)
