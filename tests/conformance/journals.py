"""What the journal suite needs: journals to open, and short ways to fill them."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clawd.journal.base import Journal, Lease
from clawd.journal.deliveries import NewDelivery, OutboxRow
from clawd.journal.items import AdmittedControl, AdmittedMessage, Push, Pushed
from clawd.journal.records import ModelResult, Outcome, Record, TurnFinished
from clawd.messages import (
    Accepted,
    Address,
    InboundControl,
    InboundMessage,
    MessageId,
    Sender,
    Text,
)
from clawd.response import ModelResponse

if TYPE_CHECKING:
    from clawd.ids import TurnId
    from clawd.journal.reading import Admin, Views
    from clawd.testing import ManualClock

SENT_AT = datetime(2026, 1, 1, 11, 59, tzinfo=UTC)
_ids = itertools.count(1)


@dataclass(kw_only=True)
class Bench:
    """A journal under test. `restart` ends the process that has it, as a crash would, and opens it anew."""

    journal: Journal
    views: Views
    admin: Admin
    clock: ManualClock
    reopen: Callable[[], Awaitable[tuple[Journal, Views, Admin]]]
    hold: set[str] = field(default_factory=set)

    async def restart(self) -> int:
        self.journal, self.views, self.admin = await self.reopen()
        return await self.journal.recover(self.hold)

    async def say(self, text: str = "hi", *, chat: str = "1", bridge: str = "tg") -> TurnId:
        """Accept one message; return its turn."""
        (result,) = await self.journal.accept([message(text, chat=chat, bridge=bridge)])
        assert isinstance(result, Accepted)
        return result.turn

    async def push(self, text: str = "news", *, chat: str = "1", bridge: str = "tg") -> str:
        (result,) = await self.journal.accept([push(text, chat=chat, bridge=bridge)])
        assert isinstance(result, Pushed)
        return result.delivery

    async def claim(self) -> Lease:
        """Claim one turn that must be there."""
        (lease,) = await self.journal.claim(1)
        return lease

    async def finish(
        self,
        lease: Lease,
        *texts: str,
        outcome: Outcome = "answered",
        records: tuple[Record, ...] = (),
    ) -> None:
        """End a turn with these parts of a reply; none: without a delivery."""
        parts = [NewDelivery(part=n, parts=len(texts), text=text) for n, text in enumerate(texts)]
        await self.journal.record(lease, *records, ending(lease, outcome), outbox=parts, done=True)

    async def answer(self, text: str = "hi", *replies: str, chat: str = "1", bridge: str = "tg") -> TurnId:
        """Accept a message and end its turn at once."""
        turn = await self.say(text, chat=chat, bridge=bridge)
        await self.finish(await self.claim(), *(replies or ("reply",)))
        return turn

    async def take(self, count: int = 10, *bridges: str) -> list[OutboxRow]:
        return list((await self.journal.outbox_take(count, bridges or ("tg",))).rows)

    async def take_one(self, *bridges: str) -> OutboxRow:
        (row,) = await self.take(10, *bridges)
        return row


def address(chat: str = "1", bridge: str = "tg") -> Address:
    return Address(bridge=bridge, account="bot", chat=chat)


def inbound(
    text: str = "hi", *, chat: str = "1", bridge: str = "tg", digest: str | None = None
) -> InboundMessage:
    return InboundMessage(
        id=MessageId(f"{bridge}:{next(_ids)}"),
        address=address(chat, bridge),
        sender=Sender(id="42", name="Ann"),
        parts=(Text(text),),
        sent_at=SENT_AT,
        digest=digest,
        reference="ref",
    )


def message(text: str = "hi", *, chat: str = "1", bridge: str = "tg") -> AdmittedMessage:
    return AdmittedMessage(message=inbound(text, chat=chat, bridge=bridge), right="chat")


def push(text: str = "news", *, chat: str = "1", bridge: str = "tg") -> Push:
    return Push(id=MessageId(f"push:{next(_ids)}"), address=address(chat, bridge), text=text)


def stop(*, chat: str = "1", turn: TurnId | None = None, draft: int | None = None) -> AdmittedControl:
    return AdmittedControl(
        control=InboundControl(
            id=MessageId(f"stop:{next(_ids)}"),
            address=address(chat),
            sender=Sender(id="42"),
            kind="stop",
            turn=turn,
            draft=draft,
            sent_at=SENT_AT,
        )
    )


def ending(lease: Lease, outcome: Outcome = "answered", text: str = "reply") -> TurnFinished:
    return TurnFinished(outcome=outcome, text=text, answers=(lease.seq,), model="m")


def result(step: int = 1, text: str = "reply") -> ModelResult:
    return ModelResult(step=step, response=ModelResponse(model="m", text=text))
