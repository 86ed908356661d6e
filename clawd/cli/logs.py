"""`clawd logs`: reads the file that the daemon writes, with or without a daemon."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clawd.cli.folding import put, screen
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.logfile import last_lines, new_lines
from clawd.cli.logfilter import LogFilter, LogLine
from clawd.cli.printing import clean, out, paint, say
from clawd.client import Client
from clawd.errors import EXIT_USAGE, ClawdError, ControlError, NotFound
from clawd.moments import BadSpan, past_moment
from clawd.observability.fields import field_text
from clawd.paths import config_path, socket_candidates

if TYPE_CHECKING:
    from clawd.cli.invocation import Invocation

app = command_app()

LOG_NAME = "clawd.log"
_COLOUR = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "red"}
_EVENT_COLUMNS = 24


class Level(StrEnum):
    """Levels of a log line, the lowest first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class BadOption(ClawdError):
    """A point in time, or a pattern, can't be read."""

    code = "E-OPTION"
    exit_code = EXIT_USAGE


@app.command()
def logs(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from then on: 10m, 2h, 1d, 08:30, or ISO 8601.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only before then.")] = None,
    level: Annotated[Level, typer.Option(help="Only this level and higher ones.")] = Level.DEBUG,
    turn: Annotated[
        str | None, typer.Option(metavar="ID", help="Only lines of this turn, or of this delivery.")
    ] = None,
    bridge: Annotated[str | None, typer.Option(metavar="NAME", help="Only lines of this bridge.")] = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only lines of this conversation.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only lines about this model.")] = None,
    event: Annotated[str | None, typer.Option(metavar="NAME", help="Only events of this name.")] = None,
    grep: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Only lines in which this is found.")
    ] = None,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="How many; 100 unless --since is given.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON lines, as they are in the file; other output has the event `output`."
        ),
    ] = False,
) -> None:
    """Show the daemon's log."""
    call = invocation(ctx)
    call.local_only("clawd logs")
    wanted = LogFilter(
        level=level.value,
        since=None if since is None else _moment(since, "--since"),
        until=None if until is None else _moment(until, "--until"),
        turn=turn,
        bridge=bridge,
        conversation=conversation,
        model=model,
        event=event,
        grep=None if grep is None else _pattern(grep),
    )
    path = _log_file(call, follow=follow)
    count = lines if lines is not None else (100 if since is None else None)
    position, found = last_lines(path, wanted, count)
    for line in found:
        _show(line, as_json=as_json)
    if not found and count != 0 and not follow:
        say("nothing matches")
    if follow:
        sys.stdout.flush()
        for line in new_lines(path, position, wanted):
            _show(line, as_json=as_json)
            sys.stdout.flush()


def _log_file(call: Invocation, *, follow: bool) -> Path:
    """Return the log of the daemon that answers, or of the one that would run with this configuration.

    Raises:
        NotFound: there is no such file.
    """
    path = (_running_state(call) or call.state_dir()) / LOG_NAME
    if not path.exists():
        raise NotFound(
            "there is no log file",
            where=str(path),
            why="nothing was logged yet, or `logging.file` is off",
            remedy=_of_journald(call, follow=follow)
            if Path("/run/systemd/system").exists()
            else "clawd start --detach",
        )
    if not os.access(path, os.R_OK):
        raise ClawdError("you may not read the log", where=str(path), remedy="run as the daemon's user")
    return path


def _of_journald(call: Invocation, *, follow: bool) -> str:
    """Return the command that shows what a service has logged for journald."""
    user = config_path(call.config, call.environ)
    of_system = os.geteuid() == 0 or (user is not None and user.is_relative_to("/etc"))
    return f"journalctl {'' if of_system else '--user '}-u clawd{' -f' if follow else ''}"


def _running_state(call: Invocation) -> Path | None:
    client = Client(socket_candidates(call.socket, call.config, call.environ), timeout_s=1)
    try:
        return Path(client.get("/status")["state_dir"])
    except ControlError:
        return None  # no daemon, or one that is stuck: the moment when logs are wanted most


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise BadOption(
            f"{text!r} is no regular expression",
            where="--grep",
            why=str(error),
            remedy=r"clawd logs --grep 'HTTP 5\d\d'",
        ) from error


def _moment(text: str, option: str) -> datetime:
    try:
        return past_moment(text, datetime.now(UTC), remedy=f"clawd logs {option} 10m")
    except BadSpan as error:
        raise BadOption(error.what, where=option, why=error.why, remedy=error.remedy) from error


def _show(line: LogLine, *, as_json: bool) -> None:
    if as_json:
        out(line.raw if line.data is not None else json.dumps({"event": "output", "text": line.raw}))
        return
    if line.data is None:
        out(clean(line.raw))
        return
    data = dict(line.data)
    exception = data.pop("exception", "")
    moment, level = str(data.pop("ts", "")), str(data.pop("level", ""))
    logger, event = str(data.pop("logger", "")), str(data.pop("event", ""))
    fields = " ".join(f"{key}={field_text(value)}" for key, value in data.items())
    event = clean(event)
    if screen() is not None:
        moment, event = _clock(line) or moment, f"{event:<{_EVENT_COLUMNS}}"
    colour = _COLOUR.get(level, "green")
    head = f"{paint(moment, 'dim')} {paint(f'{level:<8}', colour)}"
    put(" ".join(word for word in (head, event, clean(fields), paint(clean(logger), "dim")) if word), 4)
    if exception:
        out(paint(clean(str(exception)), "dim"))


def _clock(line: LogLine) -> str | None:
    """Return when it was by the clock of this place, with the date where that is not today's."""
    moment = line.at
    if moment is None:
        return None
    moment = moment.astimezone()
    clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    today = datetime.now(UTC).astimezone().date()
    return clock if moment.date() == today else f"{moment:%Y-%m-%d} {clock}"
