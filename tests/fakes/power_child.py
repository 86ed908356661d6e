"""A process whose disk is looked at: `python -m tests.fakes.power_child STATE_DIR ROUNDS...`.

For each number it opens the journal, works that many rounds of messages and closes it, so that the log is
begun, filled, copied, begun again and removed. It says on stdout what is acknowledged, one write each:
`accepted N`, `answered N`, `sending N`, `sent N` for the message `m:N`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal.deliveries import NewDelivery, Sent
from clawd.journal.items import AdmittedMessage
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.records import ModelResult, TurnFinished
from clawd.messages import Address, Cursor, InboundMessage, MessageId, Sender, Text
from clawd.response import ModelResponse

if TYPE_CHECKING:
    from clawd.journal.base import Lease
    from clawd.journal.deliveries import OutboxRow

AT_ONCE = 4  # messages of a round, each accepted for itself
FLOOD = 900  # messages of one batch in the middle of each life: enough for a checkpoint between commits


def say(what: str, numbers: list[str]) -> None:
    """One system call a line, unlike `print`."""
    os.write(1, f"{what} {' '.join(numbers)}\n".encode())


def message(number: int, length: int) -> AdmittedMessage:
    return AdmittedMessage(
        message=InboundMessage(
            id=MessageId(f"m:{number}"),
            address=Address(bridge="tg", account="bot", chat=str(number % 7)),
            sender=Sender(id="1"),
            parts=(Text(f"{number} " + "x" * length),),
            sent_at=datetime.now(UTC),
        ),
        right="chat",
    )


class Life:
    """One run over the journal."""

    def __init__(self, opened: OpenJournal, first: int) -> None:
        self._journal = opened.journal
        self.next = first

    async def round(self) -> None:
        """Take messages in, answer some, send what is ready."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._accept(self.next))
                self.next += 1
        leases = await self._journal.claim(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for lease in leases:
                group.create_task(self._answer(lease))
        taken = (await self._journal.outbox_take(AT_ONCE, ["tg"])).rows
        say("sending", [row.message.text for row in taken])
        async with asyncio.TaskGroup() as group:
            for row in taken:
                group.create_task(self._mark(row))

    async def flood(self) -> None:
        numbers = range(self.next, self.next + FLOOD)
        await self._journal.accept([message(n, 20) for n in numbers], Cursor(key="c", value=str(self.next)))
        say("accepted", [str(n) for n in numbers])
        self.next += FLOOD

    async def _accept(self, number: int) -> None:
        await self._journal.accept([message(number, 500)])
        say("accepted", [str(number)])

    async def _answer(self, lease: Lease) -> None:
        number = lease.message.text.split()[0]
        await self._journal.record(lease, ModelResult(step=1, response=ModelResponse(model="m", text=number)))
        end = TurnFinished(outcome="answered", text=number, answers=(lease.seq,))
        delivery = NewDelivery(part=0, parts=1, text=number)
        await self._journal.record(lease, end, outbox=[delivery], done=True)
        say("answered", [number])

    async def _mark(self, row: OutboxRow) -> None:
        await self._journal.outbox_mark(row.row, Sent(remote_id="77"))
        say("sent", [row.message.text])


async def run(state_dir: Path, lives: list[int]) -> None:
    number = 1
    for rounds in lives:
        opened = await open_journal(state_dir, JournalConfig(), SystemClock())
        try:
            await opened.journal.recover(())
            life = Life(opened, number)
            for n in range(rounds):
                await life.round()
                if n == rounds // 2:
                    await life.flood()
            number = life.next
        finally:
            await opened.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), [int(rounds) for rounds in sys.argv[2:]]))
