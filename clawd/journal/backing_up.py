"""A whole backup: the database, and beside it the files that it names. Blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.artifacts.copies import beside, copy_files
from clawd.errors import JournalError
from clawd.store.backup import Backup, write_backup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def back_up(
    database: Path,
    target: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], bool] | None = None,
) -> Backup:
    """Write `target`, then the folder `target.files` with what it names; both are on the disk at return.

    Raises: as `write_backup`, also where the files can't be written: then the database's copy is there.
    """
    backup = write_backup(database, target, force=force, progress=progress)
    try:
        copy_files(target, database.parent)
    except OSError as error:
        raise JournalError(
            "the files can't be put beside the backup",
            where=str(error.filename or beside(target)),
            why=error.strerror or str(error),
        ) from error
    return backup
