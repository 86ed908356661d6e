"""The journal contract: the hot, fenced path. One suite of tests runs over every implementation. No I/O.

A message is accepted into a conversation; a worker claims the conversation under a lease, records what
happens, and ends the turn; its deliveries wait in the outbox. Every method that writes returns after its
commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from clawd.ids import QuestionId, TurnId
    from clawd.journal.deliveries import DeliveryOutcome, NewDelivery, Taken
    from clawd.journal.items import Item, Pushed, Right, Stored
    from clawd.journal.records import Record
    from clawd.journal.wake import Wake
    from clawd.messages import (
        Accepted,
        Address,
        ControlKind,
        Cursor,
        Duplicate,
        InboundMessage,
        Part,
        Sender,
    )

TurnState = Literal["queued", "running", "waiting", "answered", "failed", "cancelled", "dead"]
OutboxState = Literal["pending", "sending", "open", "sent", "parked", "unknown", "dead"]

SUSPECT_ATTEMPTS = 3
"""From this attempt on a turn is suspected of killing the process: such turns run one at a time."""


# --- turns ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSettings:
    """What a conversation remembers beside its messages."""

    model: str | None = None
    language: str | None = None
    strict: bool = False  # only `model`: no other takes over when it fails
    session: int = 1
    session_seq: int = 0  # the session holds the turns with a greater sequence number
    allowed: tuple[str, ...] = ()  # TOOL:GLOB of calls that pass without a question


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A committed control that waits to be applied to a turn."""

    id: int
    turn: TurnId
    kind: ControlKind
    step: int | None = None  # approve, deny: of the call in question
    by: str | None = None  # BRIDGE:SENDER
    always: str | None = None  # approve: as `InboundControl.always`


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A message of the conversation that no turn has answered yet."""

    seq: int
    message: InboundMessage
    right: Right


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """What a turn waits for a person to say."""

    id: QuestionId
    turn: TurnId
    conversation: Address
    asker: Sender  # who wrote the message that the turn answers
    about: Literal["approval", "unknown"]
    tool: str
    subject: str  # of the call: a command line
    asked_at: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on one turn of one conversation, until `record(done=True)` or `release`."""

    conv: int
    seq: int
    epoch: int
    owner: str
    attempts: int  # of this turn, counting this one, since its last committed step
    turn: TurnId
    address: Address
    message: InboundMessage
    right: Right
    settings: ConversationSettings
    waiting: int = 0  # further messages queued behind this one
    claims: int = 1  # of this turn altogether
    accepted_at_ms: int = 0  # wall time of its message's commit
    told: int = 0  # characters of its visible text that were delivered before a question
    merged: tuple[int, ...] = ()  # seqs of the messages that became part of it
    expired: bool = False  # the deadline of its question, or of its waiting for the network, has passed
    asked_seq: int | None = None  # the conversation's newest message when the question was asked

    @property
    def language(self) -> str | None:
        """The language to speak in: chosen by /lang, else the sender's."""
        return self.settings.language or self.message.sender.language


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTurn:
    """One finished turn of the session, as the context needs it."""

    seq: int
    message: InboundMessage
    records: tuple[Record, ...]
    merged: tuple[Queued, ...] = ()  # further messages that it answered, in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All that a turn needs to go on: its own records so far, the session before it, open controls."""

    records: tuple[Record, ...]
    history: tuple[PastTurn, ...]  # oldest first, behind what `summary` stands for
    controls: tuple[Control, ...]
    merged: tuple[Queued, ...] = ()  # the messages that became part of this turn, in order
    summary: str = ""  # stands for the session's turns before `history`
    summary_seq: int = 0  # up to which turn it does; without one, where the session begins
    behind: int = 0  # records that were read behind the snapshot
    omitted: int = 0  # messages between the summary and `history`: more than a turn looks back
    waited_s: float = 0.0  # for a person's word, or for the network, by the wall clock; a last wait ends now


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A session up to a turn, as its records would give it."""

    session: int
    through_seq: int
    summary: str = ""
    summary_seq: int = 0  # the summary stands for the turns up to here
    turns: tuple[PastTurn, ...] = ()  # behind the summary, oldest first


# --- the contract -----------------------------------------------------------------------------------------


class Journal(Protocol):
    """The hot path. Implementations: `journal/sqlite.py`; PostgreSQL later."""

    instance: str  # drawn once per database, part of every public id
    work: Wake  # set when a conversation became ready
    outgoing: Wake  # set when a delivery became ready
    # Until a question expires or a message's pieces have come together, as of the last claim; None: never.
    next_due_s: float | None

    async def accept(
        self, batch: Sequence[Item], cursor: Cursor | None = None
    ) -> Sequence[Accepted | Duplicate | Pushed | Stored]:
        """Commit items and cursor in one transaction; one result per item, in order.

        A message gets its conversation's next sequence number, and frees the deliveries that were parked
        there. A control notes its target: the turn it names, if that is open; one that names none means
        the running turn, else the oldest queued one. `approve` and `deny` mean the question that they
        name, or the open one. `fetch` frees the parked deliveries; it is kept where those, or others, wait
        or a turn is in work or queued. Without a target a control is not kept (`Stored(turn=None)`). A turn that
        waits becomes ready by an answer, a stop, or its asker's next message. A piece of a message waits
        a second for the next piece.

        Raises:
            InboxFull: the queue is full; nothing was written. A batch is taken whole while there is room
                for one message, however long it is; only messages count.
            JournalUnavailable: nothing was written.
        """
        ...

    async def cursor(self, key: str) -> str | None:
        """Return a cursor's committed value."""
        ...

    async def settings(self, address: Address) -> ConversationSettings:
        """Return what the conversation remembers; the defaults where there is none, or nothing readable."""
        ...

    async def question(self, address: Address) -> OpenQuestion | None:
        """Return what the conversation's turn waits for, None when it does not wait for a person."""
        ...

    async def claim(self, count: int, without: Collection[str] = ()) -> Sequence[Lease]:
        """Take up to `count` conversations with waiting work, longest waiting first; none of the bridges `without`.

        Each gets a new epoch, its turn one more attempt and a `turn.started` record, in one commit. Turns
        at `SUSPECT_ATTEMPTS` or more are taken one at a time over the whole journal. Afterwards
        `next_due_s` says when to claim again without being woken.
        """
        ...

    async def load(self, lease: Lease) -> Loaded:
        """Return the turn's records and its session's finished turns, without intents.

        Raises:
            JournalCorrupt: a row can't be read. The lease is over then, and the conversation is left alone
                and listed among the dead letters until an operator or the next start tries again.
        """
        ...

    async def behind(self, lease: Lease) -> Sequence[Queued]:
        """Return the messages queued right behind the turn, up to the first that was stopped; at most 50."""
        ...

    async def record(
        self,
        lease: Lease,
        *records: Record,
        outbox: Sequence[NewDelivery] = (),
        done: bool = False,
    ) -> None:
        """The one fenced write: all of it or nothing.

        Result records set the turn's attempts to 0. `done` needs a `TurnFinished` among the records: it
        ends the turn in that outcome's state, marks its controls applied, and sends the conversation to
        the back of the line if more waits. `session.started` and `settings.changed` change the
        conversation's settings. A reserved preview row becomes the first part of the outbox; a turn that
        ends without an outbox gives it up. `TurnMerged` takes the messages that it names out of the queue,
        which must be the next ones; the turn's end ends them too. `TurnWaiting` ends the lease: the turn
        waits for a person until its deadline. So does `TurnOffline`: the turn waits for the network until then, or
        until `wake_offline`, and this attempt is not counted. `SummaryResult` becomes the session's snapshot. The attempts of
        results, and of an end, are counted as spend (`journal/spend.py`) in the same commit; what is open
        when the lease ends, by this or by `release` and `recover`, becomes possible spend in theirs.

        Raises:
            Fenced: the lease is no longer ours; nothing was written.
            JournalError: the step has a result already; nothing was written.
        """
        ...

    def note(self, lease: Lease, record: Record) -> None:
        """Queue a record without waiting for its commit (`llm.intent`); lost or fenced is fine.

        An intent that names a model opens a request, with its reserve, until its step has a result.
        """
        ...

    async def replace_parts(self, lease: Lease, seq: int, parts: tuple[Part, ...]) -> None:
        """Let a message of the turn name stored files in place of its platform's; raises Fenced."""
        ...

    async def snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Queue a snapshot of the lease's session; one that came too late, or is lost, is fine.

        Returns before its commit. The lease may be over: what a snapshot holds does not change any more.
        """
        ...

    async def release(self, lease: Lease, *, count: bool = False) -> None:
        """Hand the turn back; without `count` this attempt is not counted. A lost lease is fine."""
        ...

    async def reserve_preview(self, lease: Lease) -> int | None:
        """Commit the row of the turn's next part in state `sending` before its text is final; return it.

        None when the lease is fenced, when an earlier attempt's row stands already (`open_preview` returns
        one that may be edited), or when older deliveries of the address wait: it would overtake them.
        """
        ...

    async def open_preview(self, lease: Lease) -> tuple[int, str] | None:
        """Return (row, remote id) of this turn's open preview, if an earlier attempt left one."""
        ...

    async def preview_sent(self, row: int, remote_id: str | None, *, unknown: bool = False) -> None:
        """Note what became of a reserved row's first send.

        With a remote id it is `open`. Without one it was surely not sent, or `unknown`: then the final
        text goes out as a new message, marked as a repeat if unknown. If the final text came meanwhile,
        the row becomes `pending`; if the turn ended without one, nothing happens.
        """
        ...

    async def outbox_take(self, count: int, bridges: Collection[str]) -> Taken:
        """Take due deliveries of these bridges, at most one per address, and commit them as `sending`."""
        ...

    async def outbox_hurry(self, rows: Collection[int]) -> None:
        """Let those of these deliveries that wait for a time be due now."""
        ...

    async def outbox_mark(self, row: int, outcome: DeliveryOutcome) -> None:
        """Commit what became of a delivery that this process took.

        Raises:
            Fenced: it is not ours to mark.
        """
        ...

    async def move_address(self, old: Address, new: Address) -> None:
        """A chat moved: its conversation, with all that waits, continues at the new address."""
        ...

    async def wake_offline(self, count: int | None, among: Collection[int] | None = None) -> int:
        """Let those turns be claimed that wait for the network (`TurnOffline`), longest first; return how many.

        At most `count`, None: all of them; only those of the conversations `among`, None: of any.
        """
        ...

    async def recover(self, hold: Collection[str]) -> int:
        """At start: take back what a dead process held; return the number of open turns.

        Turns in work become claimable. Deliveries in `sending` become `pending` marked as repeats, or
        `unknown` for the bridges in `hold`.
        """
        ...

    async def ping(self) -> None:
        """Return once the writer has taken an empty item: the watchdog's proof of life."""
        ...
