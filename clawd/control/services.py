"""What the control socket's handlers work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from clawd.alerts.base import AlertDesk
    from clawd.artifacts.store import ArtifactStore
    from clawd.bridge import Inbox
    from clawd.control.protocol import Operations
    from clawd.fanout import Fanout
    from clawd.ids import Clock
    from clawd.journal.items import Item, Pushed, Stored
    from clawd.journal.keeping import Keeping
    from clawd.journal.reading import Admin, Views
    from clawd.messages import Accepted, Cursor, Duplicate


class PushJournal(Protocol):
    """The part of the journal that takes a push."""

    async def accept(
        self, batch: Sequence[Item], cursor: Cursor | None = None
    ) -> Sequence[Accepted | Duplicate | Pushed | Stored]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlServices:
    """The collaborators, handed in by the daemon."""

    inbox: Inbox
    journal: PushJournal
    views: Views
    admin: Admin
    keeping: Keeping
    fanout: Fanout
    operations: Operations
    alerts: AlertDesk
    clock: Clock
    names: Callable[[], Collection[str]]  # models and routes that a message may ask for
    prefixes: Callable[[], Mapping[str, str]]  # what it may begin with to take a route
    artifacts: ArtifactStore | None = None  # where files are kept; None: none are
