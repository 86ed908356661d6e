"""`clawd doctor`: looks at everything an installation needs and says what to do. Changes nothing unless told to."""

from __future__ import annotations

import os
import sys
import threading
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clawd.cli.folding import put
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Yes
from clawd.cli.printing import clean, emit, out, paint
from clawd.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, ClawdError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.cli.checks import Finding
    from clawd.cli.invocation import Invocation

app = command_app()

LIMIT_S: Final = 1.5
"""How long all that is asked of others may take together."""

WHOLE_S: Final = 1.6
"""How long the whole command may take with that, Python's own start included; a slow host still asks for a while."""

_LEAST_S: Final = 0.5

_ASKING: Final = "doctor-far"  # begins the names of the threads that ask
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


class WrongOptions(ClawdError):
    """These options make no sense together, or name a check that does not exist."""

    code = "E-USAGE"
    exit_code = EXIT_USAGE


@app.command()
def doctor(
    ctx: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out what asks models and platforms.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, max=600, help="Seconds for all that is asked of others. [default: 1.5]"),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="ID", help="Run this check alone, see --list.")
    ] = None,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks, and run none.")] = False,
    security: Annotated[
        bool, typer.Option("--security", help="Audit what others could reach or misuse; asks nobody.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended safely, after asking; keeps a backup.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: only say what it would do.")
    ] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Save what can be read of a damaged database into a new one.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Check this installation, with or without a running daemon; exits 1 when something is broken."""
    call = invocation(ctx)
    call.local_only("clawd doctor")
    if sum((security, fix, salvage, list_checks)) > 1:
        raise WrongOptions("of --list, --security, --fix and --salvage one at a time", where="clawd doctor")
    if (dry_run or yes) and not fix:
        raise WrongOptions("--dry-run and --yes belong to --fix", where="clawd doctor")
    if only and (security or fix or salvage or list_checks):
        raise WrongOptions(
            "--only chooses among the checks", where="clawd doctor", remedy="clawd doctor --only ID"
        )
    if list_checks:
        _list(as_json=as_json)
    elif salvage:
        from clawd.cli.salvage import run

        run(call, as_json=as_json)
    elif security:
        from clawd.cli.audit import audit_report

        _end(audit_report(call, as_json=as_json))
    elif fix:
        from clawd.cli.mending import mend

        call.state_dir()  # a named file that does not tell its own must not have another's mended
        _end(mend(call, dry_run=dry_run, yes=yes, as_json=as_json))
    else:
        _end(_check(call, timeout_s=timeout, offline=offline, only=only or "", as_json=as_json))


def _check(call: Invocation, *, timeout_s: float | None, offline: bool, only: str, as_json: bool) -> int:
    from clawd.cli.checks import CHECKS, examine
    from clawd.cli.checks.catalogue import ABOUT
    from clawd.cli.checks.kernel import process_age_s
    from clawd.cli.checks.site import survey

    limit_s = timeout_s or max(min(LIMIT_S, WHOLE_S - process_age_s()), _LEAST_S)
    checks = CHECKS
    if only:
        kind = only.partition(":")[0]
        checks = tuple(check for check in CHECKS if kind in check.about)
        if not checks:
            near = get_close_matches(kind, ABOUT, n=1)
            fix = f"clawd doctor --only {near[0]}" if near else "clawd doctor --list"
            raise WrongOptions(f"there is no check {only!r:.80}", where="clawd doctor", remedy=fix)
    site = survey(call.socket, call.config, call.environ, limit_s=limit_s)
    findings = examine(site, offline=offline, checks=checks, only=only)
    broken = sum(finding.status == "fail" for finding in findings)
    if as_json:
        told = [{"id": f.id, "status": f.status, "evidence": f.evidence, "fix": f.fix} for f in findings]
        emit({"ok": not broken, "checks": told})
    else:
        _show(findings)
    return EXIT_FAILED if broken else EXIT_OK


def _show(findings: Sequence[Finding]) -> None:
    width = max((len(finding.id) for finding in findings), default=0)
    for finding in findings:
        status = paint(f"{finding.status:4}", _COLOURS[finding.status])
        put(f"{status}  {finding.id:{width}}  {clean(' '.join(finding.evidence.split()))}", width + 8)
        if finding.fix:
            put(f"{'':{width + 8}}fix: {clean(finding.fix)}", width + 13)
    broken = sum(finding.status == "fail" for finding in findings)
    odd = sum(finding.status == "warn" for finding in findings)
    out(f"\n{len(findings) - broken - odd} ok, {odd} to look at, {broken} broken")


def _list(*, as_json: bool) -> None:
    from clawd.cli.checks.catalogue import ABOUT

    if as_json:
        emit({"checks": [{"id": id_, "about": words} for id_, words in ABOUT.items()]})
        return
    width = max(map(len, ABOUT))
    for id_, words in ABOUT.items():
        out(f"{id_:{width}}  {words}")


def _end(code: int) -> None:
    """Leave with this code, also while something that was asked still hangs in a thread that Python would wait for."""
    if any(thread.name.startswith(_ASKING) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if code:
        raise typer.Exit(code)
