"""`clawd doctor --salvage`: a new database from what can be read of a damaged one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clawd import paths
from clawd.cli.folding import put
from clawd.cli.printing import counted, emit, out, say
from clawd.config.loader import load_config
from clawd.errors import ClawdError, ConfigError
from clawd.ids import to_ms
from clawd.journal.mending import mend
from clawd.journal.opening import highest
from clawd.plugins import find_plugins
from clawd.store.salvage import salvage

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.cli.invocation import Invocation


def run(call: Invocation, *, as_json: bool) -> None:
    """Salvage the database of this installation and tell what was saved; errors as `store.salvage`."""
    now = datetime.now(UTC)
    found = salvage(_state_dir(call), lambda db: mend(db, to_ms(now)), highest, now)
    if as_json:
        tables = [{"name": t.name, "rows": t.rows, "gaps": t.gaps} for t in found.tables]
        emit({"aside": str(found.aside), "tables": tables, "notes": list(found.notes)})
        return
    told = [table for table in found.tables if table.rows or table.gaps]
    width = max((len(table.name) for table in told), default=0)
    for table in told:
        lost = f", not all of them: unreadable in {counted(table.gaps, 'place')}" if table.gaps else ""
        out(f"{table.name:{width}}  {counted(table.rows, 'row')} saved{lost}")
    if empty := len(found.tables) - len(told):
        out(f"{counted(empty, 'table')} without rows")
    for note in found.notes:
        out(note)
    put(f"the damaged files are in {found.aside}", 2)
    if not any(table.rows for table in found.tables):
        raise ClawdError(
            "nothing could be saved",
            where=str(found.aside),
            why="no table of the database can be read",
            remedy="clawd restore FILE, with a backup; without one, clawd start begins anew",
        )
    say("next: clawd start")


def _state_dir(call: Invocation) -> Path:
    """Return the state directory that the configuration names, even when that is broken in other places."""
    try:
        path = paths.config_path(call.config, call.environ)
        configured = load_config(path, call.environ, find_plugins()).config.state_dir
    except ConfigError:
        configured = paths.meant_state_dir(call.config, call.environ)
    return paths.state_dir(configured, call.environ)
