"""What must hold of stored files, for `clawd journal check`. Blocks; reads and changes nothing."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.artifacts.disk import Disk, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something wrong with a file; `ref` names it."""

    id: str
    ref: str
    what: str


def check_files(db: sqlite3.Connection, folder: Path, *, contents: bool) -> Iterator[Trouble]:
    """Yield what is wrong: a row without its file, one of another size, and with `contents` another hash."""
    disk = Disk(folder)
    for digest, ref, size in db.execute("SELECT digest, min(ref), max(size) FROM artifact GROUP BY digest"):
        path = disk.path(digest)
        try:
            found = path.stat().st_size
            if found != size:
                yield Trouble(
                    id="artifact.size", ref=ref, what=f"its file has {found:,} bytes, and had {size:,}"
                )
            elif contents and digest_of(path) != digest:
                yield Trouble(id="artifact.hash", ref=ref, what="its file has another content than it had")
        except FileNotFoundError:
            yield Trouble(id="artifact.missing", ref=ref, what=f"its file is gone: {path}")
        except OSError as error:
            yield Trouble(
                id="artifact.unreadable", ref=ref, what=f"its file can't be read: {error.strerror or error}"
            )
    for (ref,) in db.execute(
        "SELECT DISTINCT ref FROM artifact_use u WHERE NOT EXISTS (SELECT 1 FROM artifact a WHERE a.ref = u.ref)"
    ):
        yield Trouble(id="artifact.unknown", ref=ref, what="a message names it, and it is not there")
