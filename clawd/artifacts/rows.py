"""The tables `artifact`, `artifact_use` and `artifact_gone`. Each function is part of one transaction."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from clawd.ids import from_ms, to_ms
from clawd.media import ARTIFACT, StoredFile, is_stored
from clawd.messages import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from clawd.messages import Part

FIND: Final = "SELECT ref, digest, size, mime, name, owner, at FROM artifact WHERE ref = ?"
OWNED: Final = (
    "SELECT ref, digest, size, mime, name, owner, at FROM artifact"
    " WHERE owner = ? AND (at, ref) < (?, ?) ORDER BY at DESC, ref DESC LIMIT ?"
)
_CURSOR: Final = re.compile(r"[0-9a-f]{44}")
TOTAL: Final = "SELECT coalesce(sum(size), 0) FROM (SELECT max(size) AS size FROM artifact GROUP BY digest)"
OF_OWNER: Final = "SELECT coalesce(sum(size), 0) FROM (SELECT max(size) AS size FROM artifact WHERE owner = ? GROUP BY digest)"
_UNUSED: Final = (
    "SELECT ref FROM artifact WHERE at < ?1"
    " AND NOT EXISTS (SELECT 1 FROM artifact_use u WHERE u.ref = artifact.ref) ORDER BY at LIMIT ?2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A row: the file, who put it here, and when."""

    file: StoredFile
    owner: str
    created_at: datetime

    @property
    def cursor(self) -> str:
        """Its place among those of its owner, for `before`; opaque."""
        return f"{to_ms(self.created_at):012x}{self.file.ref.removeprefix(ARTIFACT)}"


def before(cursor: str | None) -> tuple[int, str]:
    """Return moment and ref before which a list goes on, of None its beginning; raises ValueError."""
    if cursor is None:
        return 2**62, ""
    if not _CURSOR.fullmatch(cursor):
        raise ValueError("not a cursor of files")
    return int(cursor[:12], 16), ARTIFACT + cursor[12:]


def kept_file(row: Sequence[Any]) -> KeptFile:
    """Return what a row of `FIND` says."""
    ref, digest, size, mime, name, owner, at = row
    file = StoredFile(ref=ref, digest=digest, size=size, mime=mime, name=name)
    return KeptFile(file=file, owner=owner, created_at=from_ms(at))


def insert(db: sqlite3.Connection, file: StoredFile, owner: str, now: int) -> bool:
    """Write a row; return whether it is the first of its content."""
    first = not _has_row(db, file.digest)
    db.execute(
        "INSERT INTO artifact (ref, digest, size, mime, name, owner, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (file.ref, file.digest, file.size, file.mime, file.name, owner, now),
    )
    db.execute("DELETE FROM artifact_gone WHERE digest = ?", (file.digest,))
    return first


def renew(db: sqlite3.Connection, refs: Iterable[str], now: int) -> None:
    """Let files count as new, so that they stay until what is about to name them is committed."""
    for ref in refs:
        db.execute("UPDATE artifact SET at = ? WHERE ref = ?", (now, ref))


def delete(db: sqlite3.Connection, ref: str) -> bool:
    """Remove a row and what names it; return whether there was one."""
    db.execute("DELETE FROM artifact_use WHERE ref = ?", (ref,))
    return _delete_row(db, ref)


def forget_unused(db: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """Remove rows from before a moment that nothing names; return how many."""
    refs = [row[0] for row in db.execute(_UNUSED, (before_ms, limit))]
    for ref in refs:
        _delete_row(db, ref)
    return len(refs)


def gone(db: sqlite3.Connection) -> list[str]:
    """Return the contents whose files are to be removed."""
    return [row[0] for row in db.execute("SELECT digest FROM artifact_gone")]


def removed(db: sqlite3.Connection, digests: Iterable[str]) -> None:
    """Note that these files are removed."""
    for digest in digests:
        db.execute("DELETE FROM artifact_gone WHERE digest = ?", (digest,))


def without_row(db: sqlite3.Connection, digests: Iterable[str]) -> list[str]:
    """Return those contents that no row names."""
    return [digest for digest in digests if not _has_row(db, digest)]


def _has_row(db: sqlite3.Connection, digest: str) -> bool:
    return db.execute("SELECT 1 FROM artifact WHERE digest = ? LIMIT 1", (digest,)).fetchone() is not None


def _delete_row(db: sqlite3.Connection, ref: str) -> bool:
    row = db.execute("DELETE FROM artifact WHERE ref = ? RETURNING digest", (ref,)).fetchone()
    if row is None:
        return False
    if not _has_row(db, row[0]):
        db.execute("INSERT OR IGNORE INTO artifact_gone (digest) VALUES (?)", row)
    return True


# --- what names a file: called by the journal, in the transaction of what does so --------------------------


def stored_refs(parts: Iterable[Part]) -> list[str]:
    """Return the files among parts that are kept here, each once."""
    return list(dict.fromkeys(p.ref for p in parts if not isinstance(p, Text) and is_stored(p.ref)))


def use(
    db: sqlite3.Connection,
    parts: Iterable[Part],
    conv: int,
    *,
    seq: int | None = None,
    push: int | None = None,
) -> None:
    """Note that a message, or a push, names these files; of one that is not there nothing is noted."""
    for ref in stored_refs(parts):
        db.execute(
            "INSERT INTO artifact_use (ref, conv, seq, push)"
            " SELECT ref, ?2, ?3, ?4 FROM artifact WHERE ref = ?1 AND NOT EXISTS (SELECT 1 FROM artifact_use"
            " WHERE ref = ?1 AND conv = ?2 AND seq IS ?3 AND push IS ?4)",
            (ref, conv, seq, push),
        )


def use_again(db: sqlite3.Connection, conv: int, seq: int, again: int) -> None:
    """Note that a copy of a message names the same files."""
    db.execute(
        "INSERT INTO artifact_use (ref, conv, seq) SELECT ref, conv, ? FROM artifact_use WHERE conv = ? AND seq = ?",
        (again, conv, seq),
    )


def unuse_turn(db: sqlite3.Connection, conv: int, seq: int) -> None:
    """Note that a message is gone; files that nothing names any more go with the next sweep."""
    db.execute("DELETE FROM artifact_use WHERE conv = ? AND seq = ?", (conv, seq))


def unuse_push(db: sqlite3.Connection, conv: int, push: int) -> None:
    """The same of a push."""
    db.execute("DELETE FROM artifact_use WHERE conv = ? AND push = ?", (conv, push))


def erase_conversation(db: sqlite3.Connection, conv: int) -> None:
    """Remove the files of a conversation that nothing else names, at once: `artifact_gone` has their contents."""
    refs = [row[0] for row in db.execute("SELECT DISTINCT ref FROM artifact_use WHERE conv = ?", (conv,))]
    db.execute("DELETE FROM artifact_use WHERE conv = ?", (conv,))
    for ref in refs:
        if db.execute("SELECT 1 FROM artifact_use WHERE ref = ? LIMIT 1", (ref,)).fetchone() is None:
            _delete_row(db, ref)
