"""`clawd doctor --fix`: mends what is safe to mend, says what it did, and keeps what it replaced."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from clawd.cli.checks.site import survey
from clawd.cli.mending.planning import plan
from clawd.cli.mending.repair import Keepsakes
from clawd.cli.options import confirm
from clawd.cli.printing import clean, counted, emit, out, say
from clawd.errors import EXIT_FAILED, EXIT_OK, ClawdError

if TYPE_CHECKING:
    from clawd.cli.invocation import Invocation
    from clawd.cli.mending.repair import Repair

_LIMIT_S = 1.5


def mend(call: Invocation, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Mend this installation; return the exit code: 1 when something could not be mended.

    Raises:
        WordNeeded: nobody is there to be asked, and `yes` was not said.
    """
    site = survey(call.socket, call.config, call.environ, limit_s=_LIMIT_S)
    repairs = plan(site)
    if not as_json:
        for repair in repairs:
            out(f"{repair.id}: {clean(repair.what)}")
        if not repairs:
            out("nothing to mend; clawd doctor tells what only you can")
    errors: list[str] = []
    kept = Keepsakes(site.state_dir, site.host.now())
    if repairs and not dry_run:
        confirm(f"Mend {'it' if len(repairs) == 1 else f'these {len(repairs)}'}?", yes=yes)
        errors = [_mended(repair, kept) for repair in repairs]
    _tell(repairs, errors, kept, dry_run=dry_run, as_json=as_json)
    return EXIT_FAILED if any(errors) else EXIT_OK


def _mended(repair: Repair, kept: Keepsakes) -> str:
    """Do it; return why not, empty when it is done."""
    try:
        repair.do(kept)
    except (OSError, sqlite3.Error, ClawdError) as error:
        return str(error)
    return ""


def _tell(repairs: list[Repair], errors: list[str], kept: Keepsakes, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        done = [*errors, *[None] * (len(repairs) - len(errors))]
        told = [
            {"id": repair.id, "what": repair.what, "done": error == "", "error": error or ""}
            for repair, error in zip(repairs, done, strict=True)
        ]
        emit({"repairs": told, "dry_run": dry_run, "backup": str(kept.folder) if kept.folder else None})
        return
    for repair, error in zip(repairs, errors, strict=False):
        if error:
            say(f"not mended: {repair.what}: {clean(error)}")
    if errors:
        out(f"{counted(sum(not error for error in errors), 'thing')} mended")
        if kept.folder:
            out(f"what was there before is in {kept.folder}")
    elif repairs:
        out(f"{counted(len(repairs), 'thing')} to mend; without --dry-run clawd does it, after asking")
