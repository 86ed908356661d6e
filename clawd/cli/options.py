"""Options that several commands share."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from clawd.errors import EXIT_FAILED, EXIT_USAGE, ClawdError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many to show at most.")]


class WordNeeded(ClawdError):
    """Something would be lost, and nobody is there to be asked."""

    code = "E-CONFIRM"
    exit_code = EXIT_USAGE


def confirm(question: str, *, yes: bool) -> None:
    """Return when the person agrees, or has agreed by --yes.

    Raises:
        WordNeeded: standard input is no terminal.
        typer.Exit: the person declines.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise WordNeeded(f"{question} Nobody is there to answer", remedy="the same command with --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        sys.stderr.write("Nothing was changed.\n")
        raise typer.Exit(EXIT_FAILED)
