"""`clawd restore`: a backup takes the journal's place. No daemon may run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clawd.cli.folding import fold, put
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Yes, confirm
from clawd.cli.printing import emit, say, size

app = command_app()


@app.command()
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A backup.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the journal's place. What is there now is moved into the folder backups, never removed."""
    import logging
    from datetime import UTC, datetime

    from clawd.errors import JournalCorrupt
    from clawd.journal.restoring import restore_journal
    from clawd.store.lock import StateLock
    from clawd.store.restoring import check_backup

    logging.getLogger("clawd").addHandler(logging.NullHandler())  # what it would log is said below
    call = invocation(ctx)
    call.local_only("clawd restore")
    state_dir = call.state_dir()
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    StateLock.take(state_dir).release()  # before anything is asked or read: a daemon that runs is told first
    try:
        checked = check_backup(file.absolute())
    except JournalCorrupt as error:
        error.remedy = "another backup; the journal was not touched"  # its own advice is for the journal
        raise
    say(f"{checked.file}: whole, {size(checked.bytes)}, schema {checked.schema}")
    confirm(f"Put it in the place of the journal in {state_dir}?", yes=yes)
    done = restore_journal(state_dir, checked.file, datetime.now(UTC))
    if as_json:
        emit({"restored": str(done.source), "replaced": str(done.replaced) if done.replaced else None})
        return
    put(f"{done.source} is restored", 2)
    if done.replaced is not None:
        say(fold(f"what was there before is in {done.replaced.parent}", 2))
    say(fold("what the backup shows as unsent goes out at the next start, marked as a possible repeat", 2))
