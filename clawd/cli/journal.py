"""`clawd journal`: looks whether the journal holds what it must."""

from __future__ import annotations

from typing import Any

import typer

from clawd.cli.invocation import Invocation, invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import clean, counted, emit, out, paint, say
from clawd.errors import EXIT_FAILED, EXIT_JOURNAL, DaemonNotRunning

app = command_app()

_COLOURS = {"error": "red", "warning": "yellow"}


@app.callback()
def journal() -> None:
    """Look after the journal."""


@app.command()
def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Look for what must not be so. Changes nothing; exits 1 with findings, 74 when nothing can be read."""
    call = invocation(ctx)
    try:
        report = call.client().result("/journal/check", post={})
    except DaemonNotRunning:
        if call.names_socket:
            raise
        report = _without_daemon(call)
    if as_json:
        emit(report)
    else:
        _print(report)
    if any(finding["id"] == "file.damaged" for finding in report["findings"]):
        raise typer.Exit(EXIT_JOURNAL)
    if report["findings"]:
        raise typer.Exit(EXIT_FAILED)


def _without_daemon(call: Invocation) -> dict[str, Any]:
    from clawd.journal.checking import check_state_dir
    from clawd.jsonable import json_object
    from clawd.store.opening import FILE

    return dict(json_object(check_state_dir(call.state_dir(holding=FILE))))


def _print(report: dict[str, Any]) -> None:
    for finding in report["findings"]:
        mark = paint(f"{finding['severity']:7}", _COLOURS[finding["severity"]])
        out(f"{mark}  {finding['id']}  {clean(finding['where'])}: {clean(finding['what'])}")
        if finding["remedy"]:
            out(f"{'':9}try: {finding['remedy']}")
    if (more := report["count"] - len(report["findings"])) > 0:
        out(f"and {more} more")
    seen = f"{counted(report['turns'], 'turn')} in {counted(report['conversations'], 'conversation')}"
    say(f"{seen}, {counted(report['count'], 'finding')}, looked at in {report['duration_s']:.1f} s")
