"""The global options, and what `clawd` alone says."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

import clawd
from clawd.cli.invocation import Invocation
from clawd.cli.lazy import LazyGroup, register
from clawd.cli.version import print_version
from clawd.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, ClawdError

app = typer.Typer(
    cls=LazyGroup,
    name="clawd",
    help=clawd.__doc__,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class WrongUse(ClawdError):
    """The command line makes no sense."""

    code = "E-USAGE"
    exit_code = EXIT_USAGE


# Typer offers no name for it, and has brought its own copy of click since 0.26.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]


def program() -> Any:
    """Return the whole command line, its commands not yet imported."""
    return get_command(app)


def run_program(argv: Sequence[str]) -> int:
    """Run a command line and return its exit code; raises WrongUse and what the command raises."""
    try:
        code = program().main(args=list(argv), prog_name="clawd", standalone_mode=False)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "clawd"
        message = error.format_message()
        if error.ctx and message == error.ctx.get_help():  # a group that was called without a command
            sys.stderr.write(message + "\n")
            return EXIT_USAGE
        message = message.replace("Value error, ", "")  # of pydantic, within Typer's own sentence
        raise WrongUse(message.rstrip("."), where=command, remedy=f"{command} -h") from None
    except typer.Abort:
        sys.stderr.write("Aborted!\n")
        return EXIT_FAILED
    return code if isinstance(code, int) else EXIT_OK


@app.callback()
def root(
    ctx: typer.Context,
    socket: Annotated[
        str | None, typer.Option(metavar="PATH", help="The daemon's control socket. [env: CLAWD_SOCKET]")
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="PATH", help="The configuration file. [env: CLAWD_CONFIG]")
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="A remote daemon's gateway. [env: CLAWD_URL]")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="PATH", help="The token for --url. [env: CLAWD_TOKEN, itself]")
    ] = None,
    ca_file: Annotated[
        str | None, typer.Option(metavar="PATH", help="Authorities that --url is checked by, PEM.")
    ] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Send the token to another host in the clear.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, with --json all of them, and leave.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """clawd: an always-on AI agent that finishes what it starts."""
    if version:
        print_version(as_json=json)
        raise typer.Exit
    if url and (socket or config):
        other = "--socket" if socket else "--config"
        raise WrongUse(f"--url and {other} name two daemons", where="clawd", remedy="leave one out")
    ctx.obj = Invocation(
        environ=os.environ,
        socket=socket,
        config=config,
        url=url,
        token_file=token_file,
        ca_file=ca_file,
        insecure_http=insecure_http,
        debug=debug,
    )
    if ctx.invoked_subcommand is not None:
        return
    if not json and not sys.stdout.isatty():
        sys.stdout.write(ctx.get_help() + "\n")
        return
    from clawd.cli.summary import summary

    summary(ctx.obj, as_json=json)


register(app)
