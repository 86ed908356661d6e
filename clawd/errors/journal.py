"""Errors of the journal."""

from __future__ import annotations

from clawd.errors.base import EXIT_JOURNAL, EXIT_LOCKED, EXIT_TRY_LATER, ClawdError


class JournalError(ClawdError):
    """The journal could not do what was asked."""

    code = "E-JOURNAL"
    exit_code = EXIT_JOURNAL


class JournalLocked(JournalError):
    """Another daemon holds this state directory; `pid` is the holder's, 0 when unknown."""

    code = "E-LOCKED"
    exit_code = EXIT_LOCKED

    def __init__(self, path: str, pid: int) -> None:
        super().__init__(
            "another clawd already uses this state directory",
            where=path,
            why=f"locked by process {pid}" if pid else "locked by another process",
            remedy="clawd status, or clawd stop",
        )
        self.pid = pid


class JournalUnavailable(JournalError):
    """Nothing can be committed now (disk full, locked, closing); the caller must not acknowledge."""

    code = "E-JOURNAL-BUSY"
    exit_code = EXIT_TRY_LATER

    def __init__(self, what: str, *, why: str = "", retry_after_s: float = 5.0) -> None:
        super().__init__(what, why=why, remedy="try again in a few seconds; clawd doctor tells more")
        self.retry_after_s = retry_after_s


class FilesFull(JournalUnavailable):
    """All files together would have more bytes than they may; `limit` is how many that are.

    With `owner`, whose files they are: those together.
    """

    code = "E-FILES-FULL"

    def __init__(self, limit: int, *, owner: str = "") -> None:
        super().__init__(
            f"{f'the files of {owner}' if owner else 'all files'} together may have {limit:,} bytes,"
            " and there is no room for this one",
            retry_after_s=60.0,
        )
        self.remedy = (
            "delete conversations or files that are no longer needed, or raise journal.max_files_bytes"
        )
        self.limit = limit


class JournalBroken(JournalError):
    """The disk failed a write or an fsync: the process must stop, never retry (exit 74)."""

    code = "E-JOURNAL-IO"


class JournalCorrupt(JournalError):
    """A stored row or the database itself can't be read; `row_id` is None for the whole file."""

    code = "E-JOURNAL-CORRUPT"

    def __init__(self, what: str, *, row_id: int | None = None, where: str = "", why: str = "") -> None:
        super().__init__(
            what,
            where=where,
            why=why,
            remedy="restore a backup, or save what can be read: clawd doctor --salvage",
        )
        self.row_id = row_id


class SchemaTooNew(JournalError):
    """A newer clawd wrote this database."""

    code = "E-SCHEMA"

    def __init__(self, path: str, found: int, supported: int) -> None:
        super().__init__(
            "this database was written by a newer clawd",
            where=path,
            why=f"schema {found}, this version knows up to {supported}",
            remedy="install the newer version again, or restore the backup made before the upgrade",
        )
        self.found = found
        self.supported = supported


class Fenced(JournalError):
    """The lease is no longer ours: somebody else owns the conversation, so nothing was written."""

    code = "E-FENCED"


class InboxFull(JournalError):
    """Too much work is waiting; the message was not taken."""

    code = "E-BUSY"
    exit_code = EXIT_TRY_LATER

    def __init__(self, depth: int, *, retry_after_s: float = 5.0) -> None:
        super().__init__(
            "too many messages are waiting",
            why=f"{depth} messages in the queue",
            remedy=f"try again in {retry_after_s:.0f} s",
        )
        self.depth = depth
        self.retry_after_s = retry_after_s
