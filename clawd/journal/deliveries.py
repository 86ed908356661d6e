"""Deliveries on their way through the journal: written, taken, and what became of them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.ids import QuestionId
    from clawd.messages import Callback, Choice, OutboundMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One part of what a turn sends at once; parts count from 0 in the order of sending.

    A turn that asks something sends more than once: the outbox numbers its parts through.
    """

    part: int
    parts: int
    text: str
    kind: Literal["reply", "failed", "question"] = "reply"
    question: QuestionId | None = None
    choices: tuple[Choice, ...] = ()
    # An event for programs, `url` left out: told to each URL that came with one of the turn's messages, and
    # to `app`. Each of these is a delivery of its own, which no other one's end concerns.
    callback: Callback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A delivery that was taken: committed as `sending` for this process."""

    row: int
    attempt: int  # of sending, counting this one
    message: OutboundMessage
    first_try_at_ms: (
        int  # wall time of the row's creation by the clock as it is set now, for `delivery.max_age_s`
    )
    refusals: int = 0  # attempts that its receiver read and refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The deliveries to send now, at most one per address."""

    rows: Sequence[OutboxRow]
    next_due_s: float | None  # seconds until a waiting row becomes due, None when none waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The platform took it."""

    remote_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAt:
    """Back to `pending` after `delay_s`. `repeated`: an attempt may have arrived.

    `refused` counts a refusal; without `tried` this was no attempt.
    """

    delay_s: float
    why: str
    repeated: bool = False
    refused: bool = False
    tried: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Only the user's next message frees it."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """State `unknown`: may have arrived, and must not be repeated without a person's word."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """Given up; the later parts of the same turn die with it, unless it stands `alone`."""

    why: str
    alone: bool = False
    unreachable: bool = False  # the user has left or blocked us: nothing for an owner to mend


DeliveryOutcome = Sent | RetryAt | Parked | Held | Dead
