"""Another process that opens a state directory: `python -m tests.fakes.journal_child VERB STATE_DIR`.

hold: open the store, print "open", keep it until stdin ends.
accept: open the journal and accept messages one by one for ever, printing each id once it is acknowledged;
  ids go on from the highest one already there.
turn: accept one message, run its turn with a preview, a model answer, a tool call and a delivery, printing
  each step that is acknowledged, and stop.
The environment sets fault points and limits.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clawd.config.schema import JournalConfig
from clawd.errors import JournalError
from clawd.ids import SystemClock
from clawd.journal.base import Journal, Lease, Snapshot
from clawd.journal.deliveries import NewDelivery, Sent
from clawd.journal.items import AdmittedControl, AdmittedMessage
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    QuestionAnswered,
    SummaryIntent,
    SummaryResult,
    ToolDone,
    ToolIntent,
    TurnFinished,
    TurnMerged,
    TurnsUndone,
    TurnWaiting,
)
from clawd.messages import Address, Cursor, InboundControl, InboundMessage, MessageId, Sender, Text
from clawd.response import ModelResponse


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the parent reads it


def message(number: int) -> AdmittedMessage:
    return AdmittedMessage(
        message=InboundMessage(
            id=MessageId(f"m:{number}"),
            address=Address(bridge="tg", account="bot", chat=str(number % 7)),
            sender=Sender(id="1"),
            parts=(Text(f"{number} " + "x" * 500),),
            sent_at=datetime.now(UTC),
        ),
        right="chat",
    )


async def hold(opened: OpenJournal) -> None:
    say("open")
    await asyncio.to_thread(sys.stdin.read)


async def accept(opened: OpenJournal) -> None:
    """Twenty at a time, so that commits are shared; the cursor of each names the message."""
    await opened.journal.recover(())
    first = 1 + max([0, *(int(t.question.split()[0]) for t in await opened.views.turns(limit=100_000))])

    async def lane(number: int) -> None:
        while True:
            await opened.journal.accept([message(number)], Cursor(key=f"c:{number}", value=str(number)))
            say(str(number))
            number += 20

    async with asyncio.TaskGroup() as group:
        for offset in range(20):
            group.create_task(lane(first + offset))


async def turn(opened: OpenJournal) -> None:
    journal = opened.journal
    await journal.recover(())
    say("recover")
    await journal.accept([message(1), message(8)])
    say("accept")
    (lease,) = await journal.claim(1)
    await journal.release(lease)
    say("release")
    (lease,) = await journal.claim(1)
    say("claim")
    row = await journal.reserve_preview(lease)
    say("preview")
    if row is not None:
        await journal.preview_sent(row, "77")
    journal.note(lease, ModelIntent(step=1, route="default"))
    await journal.record(lease, ModelResult(step=1, response=ModelResponse(model="m", text="")))
    say("llm.result")
    await journal.record(lease, ToolIntent(step=2, call_id="c", name="t", arguments="{}", effect="once"))
    say("tool.intent")
    await journal.record(lease, ToolDone(step=2, call_id="c", name="t", text="done"))
    say("tool.result")
    await journal.record(lease, TurnMerged(step=3, seqs=(2,)))
    say("turn.merged")
    lease = await ask_and_answer(journal, lease)
    await journal.record(lease, TurnsUndone(seqs=()))
    say("session.undone")
    journal.note(lease, SummaryIntent(step=-1, route="summary"))
    summary = ModelResponse(model="m", text="")
    await journal.record(
        lease, SummaryResult(step=-1, through_seq=0, through_step=0, text="all", response=summary)
    )
    say("summary.result")
    await journal.snapshot(lease, Snapshot(session=1, through_seq=1, summary="all"))
    await journal.ping()
    await opened.search.fill()
    say("search")
    end = TurnFinished(outcome="answered", text="reply", answers=(1, 2))
    await journal.record(lease, end, outbox=[NewDelivery(part=0, parts=1, text="reply")], done=True)
    say("turn.finished")
    (taken,) = (await journal.outbox_take(1, ["tg"])).rows
    say("outbox.take")
    await journal.outbox_mark(taken.row, Sent(remote_id="77"))
    say("outbox.mark")


async def ask_and_answer(journal: Journal, lease: Lease) -> Lease:
    """Wait for a person, and go on by their word."""
    deadline = datetime.now(UTC) + timedelta(days=1)
    question = TurnWaiting(step=4, about="approval", name="t", subject="t", deadline=deadline)
    await journal.record(lease, question)
    say("turn.waiting")
    yes = InboundControl(
        id=MessageId("yes"),
        address=lease.address,
        sender=lease.message.sender,
        kind="approve",
        sent_at=datetime.now(UTC),
    )
    await journal.accept([AdmittedControl(control=yes)])
    (lease,) = await journal.claim(1)
    await journal.record(lease, QuestionAnswered(step=4, approved=True))
    say("turn.resumed")
    return lease


async def run(verb: str, state_dir: Path) -> None:
    opened = await open_journal(state_dir, JournalConfig(lock_timeout_s=1), SystemClock())
    say("opened")
    for warning in opened.warnings:
        say(warning)
    try:
        await {"hold": hold, "accept": accept, "turn": turn}[verb](opened)
    finally:
        await opened.close()


def first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main() -> None:
    if len(sys.argv) > 3:  # greatest size of a file, in bytes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        asyncio.run(run(sys.argv[1], Path(sys.argv[2])))
    except (JournalError, BaseExceptionGroup) as error:
        cause = first_cause(error)
        say(f"{type(cause).__name__}: {cause}")
        sys.exit(getattr(cause, "exit_code", 1))


if __name__ == "__main__":
    main()
