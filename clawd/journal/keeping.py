"""How a journal is kept: the contract of backup, check, retention and export, and their results. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from clawd.ids import DeliveryId, TurnId
    from clawd.journal.base import ConversationSettings, OutboxState, TurnState
    from clawd.journal.checking import Report
    from clawd.journal.records import Record
    from clawd.messages import Address, InboundMessage, Media
    from clawd.store.backup import Backup


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFacts:
    """The database at a glance. Sizes in bytes."""

    file: Path
    bytes: int
    free_bytes: int  # of pages that hold nothing
    wal_bytes: int
    shrinks: bool  # free pages can be given back bit by bit
    keep_days: int | None
    backups: int  # files in the folder of backups, replaced databases among them
    last_backup: Path | None
    last_backup_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far something has got; `of` is 0 where that is not known beforehand."""

    done: int
    of: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRow:
    """A stored row that this version can't read, as it is."""

    kind: str
    why: str
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRecord:
    """A record of a turn. `kind` says of which type `record` is."""

    kind: str
    at: datetime
    step: int
    claim: int  # the turn's claims when it was written
    record: Record | UnreadableRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedDelivery:
    """A delivery with its state."""

    id: DeliveryId
    part: int
    state: OutboxState
    attempts: int
    text: str | None  # None: a preview whose text never became final
    remote_id: str | None
    why: str
    at: datetime
    taken_at: datetime | None
    ended_at: datetime | None
    files: tuple[Media, ...] = ()  # sent behind the text


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedTurn:
    """A message and all that came of it."""

    id: TurnId
    seq: int
    state: TurnState
    right: str
    accepted_at: datetime
    ended_at: datetime | None
    merged_into: int | None  # the seq of the message whose turn answers it
    message: InboundMessage | UnreadableRow
    records: tuple[ExportedRecord, ...]
    deliveries: tuple[ExportedDelivery, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedConversation:
    """The head of an export."""

    address: Address
    moved_to: Address | None
    turns: int
    settings: ConversationSettings | UnreadableRow
    exported_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPush:
    """A delivery that no turn made."""

    row: int
    delivery: ExportedDelivery


Exported = ExportedConversation | ExportedTurn | ExportedPush


class Keeping(Protocol):
    """What keeps a journal in order while it is in use."""

    async def facts(self) -> JournalFacts: ...

    async def backup(
        self, target: Path | None, *, force: bool, tell: Callable[[Progress], Awaitable[None]]
    ) -> Backup:
        """Write a copy of the database, into the folder of backups where no target is given.

        Raises:
            BackupExists: and nobody said `force`.
            JournalError: it could not be written.
        """
        ...

    async def check(self, *, quick: bool, tell: Callable[[Progress], Awaitable[None]]) -> Report:
        """Look for what must not be so; see `checking.check_file`."""
        ...

    def export(self, address: Address) -> AsyncIterator[Exported]:
        """Yield the conversation's head, then its turns and pushes in the order of their acceptance.

        Raises:
            NotFound: there is no such conversation.
        """
        ...

    async def scrub_if_wanted(self) -> bool:
        """Clean the files of what deletions left in them; return whether nothing is left.

        False: a reader that does not end keeps parts of it in the write-ahead log, or the disk is too full;
        it is tried again at the next deletion and at the next start.
        """
        ...

    async def sweep_files(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Remove files that nothing names any more, and what a crash left half-written.

        Raises:
            JournalUnavailable: the disk does not take it now.
        """
        ...

    async def forget(self, pause: Callable[[], Awaitable[None]]) -> datetime | None:
        """Remove what is older than `journal.keep_days`, `pause` between two writes.

        Returns:
            When the next turn is old enough; None when nothing is kept that could become so.
        """
        ...
