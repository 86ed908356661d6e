"""Why a transaction was not committed, in a word that can be counted."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["full", "locked", "failed"]

_KINDS: Final[Mapping[int, Kind]] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A transaction was not committed."""

    kind: Kind
    why: str


def failure_of(error: BaseException) -> Failure:
    """Return what an error of the database, or of the thread, comes down to."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # 0: an error of Python's own module
    return Failure(_KINDS.get(code, "failed"), str(error))
