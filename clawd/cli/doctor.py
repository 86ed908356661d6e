"""`clawd doctor`: looks at everything an installation needs and says what to do. Changes nothing unless told to."""

from __future__ import annotations

from typing import Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import clean, emit, out, paint
from clawd.errors import EXIT_FAILED

app = command_app()

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@app.command()
def doctor(
    ctx: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out what asks models and platforms.")
    ] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Save what can be read of a damaged database into a new one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check this installation, with or without a running daemon; exits 1 when something is broken."""
    call = invocation(ctx)
    call.local_only("clawd doctor")
    if salvage:
        from clawd.cli.salvage import run

        run(call, as_json=as_json)
        return
    from clawd.cli.checks import examine
    from clawd.cli.checks.site import survey

    findings = examine(survey(call.socket, call.config, call.environ), offline=offline)
    broken = sum(finding.status == "fail" for finding in findings)
    if as_json:
        checks = [{"id": f.id, "status": f.status, "evidence": f.evidence, "fix": f.fix} for f in findings]
        emit({"ok": not broken, "checks": checks})
    else:
        width = max(len(finding.id) for finding in findings)
        for finding in findings:
            status = paint(f"{finding.status:4}", _COLOURS[finding.status])
            out(f"{status}  {finding.id:{width}}  {clean(finding.evidence)}")
            if finding.fix:
                out(f"{'':{width + 8}}fix: {clean(finding.fix)}")
        odd = sum(finding.status == "warn" for finding in findings)
        out(f"\n{len(findings) - broken - odd} ok, {odd} to look at, {broken} broken")
    if broken:
        raise typer.Exit(EXIT_FAILED)
