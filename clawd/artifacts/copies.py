"""The files beside a backup: `FILE.files/ab/cdef…`, as in the state directory. Blocks.

A content never changes, so a copy on the same file system is a second name of it and takes no room.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from clawd.artifacts.disk import FOLDER
from clawd.store.backup import connect_to_read
from clawd.store.mark import sync_directory, sync_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

SUFFIX: Final = ".files"
"""What the folder beside a backup is called, behind the backup's own name."""


_OURS: Final = re.compile(r"[0-9a-f]{64}(\.partial)?")  # anything else was put there by somebody else


def beside(backup: Path) -> Path:
    """Return where the files of a backup are."""
    return backup.with_name(f"{backup.name}{SUFFIX}")


def copy_files(backup: Path, state_dir: Path) -> int:
    """Put the files that a backup names beside it; return how many were missing, deleted meanwhile.

    The folder of an earlier backup of that name loses what this one does not name. Raises OSError.
    """
    target, wanted = beside(backup), set(_digests(backup))
    missing = _copy(state_dir / FOLDER, target, wanted)
    if target.exists():
        for path in target.glob("*/*"):
            name = path.parent.name + path.name
            if _OURS.fullmatch(name) and name not in wanted:
                path.unlink()
    return missing


def bring_back(backup: Path, state_dir: Path) -> int:
    """Put the files of a backup into the state directory; return how many are missing. Raises OSError."""
    missing = _copy(beside(backup), state_dir / FOLDER, set(_digests(backup)))
    if missing:
        log.warning("backup_lacks_files", extra={"backup": str(backup), "files": missing})
    return missing


def set_aside(database: Path, state_dir: Path, folder: Path) -> None:
    """Keep the files of a database that is about to be replaced, where it will be. Raises OSError."""
    if database.exists():
        _copy(state_dir / FOLDER, beside(folder / database.name), set(_digests(database)))


def _digests(database: Path) -> Iterator[str]:
    """Yield the contents that a database names; none where it is older than that, or unreadable."""
    try:
        with closing(connect_to_read(database)) as db:
            yield from (row[0] for row in db.execute("SELECT DISTINCT digest FROM artifact"))
    except sqlite3.Error as error:
        log.info("database_names_no_files", extra={"database": str(database), "why": str(error)})


def _copy(source: Path, target: Path, digests: set[str]) -> int:
    """Give contents a place in another folder; return how many the source does not have."""
    missing, folders = 0, set()
    for digest in digests:
        old, new = source / digest[:2] / digest[2:], target / digest[:2] / digest[2:]
        if new.exists():
            continue
        if not old.exists():
            missing += 1
            continue
        for folder in (target, new.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        _link(old, new)
        folders |= {new.parent, target, target.parent}
    for folder in folders:
        sync_directory(folder)
    return missing


def _link(old: Path, new: Path) -> None:
    try:
        new.hardlink_to(old)
    except OSError:  # another file system, or one without hard links
        fresh = new.with_name(f"{new.name}.partial")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        shutil.copyfile(old, fresh)
        sync_file(fresh)
        fresh.replace(new)
