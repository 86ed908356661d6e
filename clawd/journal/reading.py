"""What may be read of the journal by people and clients: row types and the `Views` contract. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.ids import DeliveryId, TurnId
    from clawd.journal.base import ConversationSettings, OpenQuestion, OutboxState, TurnState
    from clawd.journal.spans import Span
    from clawd.messages import Address

BEGINNING: Final = "0"
"""The cursor before the first entry of every conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """One turn, as `clawd turns list` and `GET /v1/messages/ID` show it."""

    id: TurnId
    conversation: Address
    seq: int
    state: TurnState
    attempts: int
    question: str
    answer: str  # what the user was told; empty while it is open
    accepted_at: datetime
    finished_at: datetime | None = None
    model: str | None = None
    error: str | None = None
    exit_code: int = 0
    position: int = 0  # open turns before it in its conversation
    input_tokens: int | None = None
    output_tokens: int | None = None
    steps: int = 0
    merged_into: TurnId | None = None  # the turn that answers this message together with its own
    notice: str = ""  # told beside the answer
    waits_for: Literal["network"] | None = None  # what keeps it in the queue


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationView:
    """One conversation, as `clawd conversations list` shows it."""

    address: Address
    turns: int
    open_turns: int
    last_at: datetime | None
    last_text: str  # the newest question, shortened
    settings: ConversationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """One line of a conversation as people read it, in order; `cursor` is opaque and increasing."""

    cursor: str
    turn: TurnId | None  # None for a push
    role: Literal["user", "assistant"]
    text: str
    at: datetime
    state: TurnState | OutboxState
    answers: tuple[TurnId, ...] = ()  # of a turn's end: the turns of the messages that it answers


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadView:
    """Something that was given up: `turn:…`, `delivery:…` or `update:…`."""

    id: str
    bridge: str
    conversation: Address | None
    at: datetime
    why: str
    text: str  # shortened
    state: str  # dead, or unknown for a held delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """One outbox row."""

    id: DeliveryId
    conversation: Address
    turn: TurnId | None
    state: OutboxState
    attempt: int
    remote_id: str | None
    text: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """One moment in a turn's life. `detail` holds printable fields in the order to show them."""

    at: datetime
    what: str  # accepted, turn.started, llm.intent, …, delivery.sending, delivery.sent
    detail: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The whole path of one message; `turn` is None for a delivery that no turn made."""

    turn: TurnView | None
    lines: tuple[TraceLine, ...]
    deliveries: tuple[DeliveryView, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """How much is open, for status, readiness and metrics."""

    queued: int  # not in work; those that wait for a person are among them
    running: int
    oldest_age_s: float
    deliveries_open: int
    dead: int
    conversations: int
    last_id: int  # highest journal id
    waiting: int = 0  # for a person's word
    ready_age_s: float = 0.0  # how long the conversation that waits longest for a worker has; 0: none does
    offline: int = 0  # for the network; among those that are queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries of a conversation and the cursor to go on from."""

    entries: Sequence[EntryView] = field(default_factory=tuple)
    cursor: str = ""


class Views(Protocol):
    """Read-only questions, answered from the read connection. Raises NotFound where a name is unknown."""

    async def turn(self, turn: TurnId) -> TurnView: ...
    async def turns(
        self, *, address: Address | None = None, state: TurnState | None = None, limit: int = 50
    ) -> Sequence[TurnView]: ...
    async def conversations(self, *, limit: int = 50, prefix: str = "") -> Sequence[ConversationView]:
        """Return those whose address, written as text, begins so; the latest first."""
        ...

    async def entries(self, address: Address, *, after: str = "", limit: int = 200) -> Page:
        """Return what follows the cursor, oldest first; without one, the newest `limit`.

        `after=BEGINNING` starts with the first entry. Empty for an unknown address.
        """
        ...

    async def questions(self, *, address: Address | None = None, limit: int = 100) -> Sequence[OpenQuestion]:
        """Return what turns wait for people to say, the oldest deadline first."""
        ...

    async def dead(self, *, limit: int = 100) -> Sequence[DeadView]: ...
    async def trace(self, identifier: str) -> Trace:
        """Return the path of a turn, given its id or that of one of its deliveries."""
        ...

    async def stats(self) -> QueueStats: ...


class Admin(Protocol):
    """What an operator may change. Each returns after its commit; raises NotFound or NotPossible."""

    async def reset(self, address: Address) -> None:
        """Begin a new session, as `/new` does."""
        ...

    async def delete(self, address: Address, *, only: TurnId | None = None) -> int:
        """Remove a conversation with no open turn; return the number of turns removed. Dedup keys stay.

        With `only` it is removed where it has never had another turn; raises HoldsMore where it has.

        Its words may still show in the files until `Keeping.scrub_if_wanted`.
        """
        ...

    async def retry(self, turn: TurnId) -> TurnId:
        """Ask a failed, cancelled or dead turn's message again as a new turn; return the new id."""
        ...

    async def resubmit(self, identifier: str) -> str:
        """Give a dead turn, delivery or update another chance; return the id that now carries it."""
        ...

    async def drop(self, identifier: str) -> None:
        """Remove it from the dead letters for good."""
        ...
