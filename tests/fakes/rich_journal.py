"""A journal in which a bit of everything has happened, for tests of what is made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clawd.config.schema import JournalConfig
from clawd.journal.deliveries import NewDelivery, Parked, Sent
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.records import ModelIntent, ModelResult, ToolDone, ToolIntent, TurnFinished, TurnMerged
from clawd.response import ModelAttempt, ModelResponse, ToolCall, Usage
from clawd.testing import ManualClock
from tests.conformance.journals import Bench, ending, message

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.journal.base import Journal
    from clawd.journal.reading import Admin, Views


def bench_of(opened: OpenJournal) -> Bench:
    async def reopen() -> tuple[Journal, Views, Admin]:
        return opened.journal, opened.views, opened.admin

    clock = opened.journal._context.clock
    assert isinstance(clock, ManualClock)
    return Bench(journal=opened.journal, views=opened.views, admin=opened.admin, clock=clock, reopen=reopen)


async def fill(
    bench: Bench,
    *,
    question: str = "what is it",
    answer: str = "it is",
    result: str = "42",
    open_turn: bool = True,
) -> None:
    """Chat 1: a turn with two calls, a merged one, a plain one, an open one in work. Others: a failed turn,
    pushes sent, parked and pending, a stopped turn, a queued one."""
    journal = bench.journal
    await bench.say(question)
    lease = await bench.claim()
    calls = (ToolCall(id="a", name="t", arguments='{"x": 1}'), ToolCall(id="b", name="t", arguments="{}"))
    asked = ModelResponse(
        model="m",
        text="",
        tool_calls=calls,
        finish="tool_calls",
        usage=Usage(input_tokens=7),
        attempts=(ModelAttempt(model="m", outcome="ok", usage=Usage(input_tokens=7), cost_usd=0.0012),),
    )
    await journal.record(lease, ModelResult(step=1, response=asked))
    await journal.record(
        lease, ToolIntent(step=2, call_id="a", name="t", arguments='{"x": 1}', effect="once")
    )
    await journal.record(lease, ToolDone(step=2, call_id="a", name="t", text=result))
    await journal.record(lease, ToolDone(step=3, call_id="b", name="t", text=result))
    final = ModelResult(step=4, response=ModelResponse(model="m", text=answer))
    end = TurnFinished(outcome="answered", text=answer, answers=(lease.seq,), model="m")
    parts = [NewDelivery(part=n, parts=2, text=answer) for n in range(2)]
    await journal.record(lease, final, end, outbox=parts, done=True)
    for _ in range(2):
        await journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="9"))
    await journal.accept([message("first"), message("second"), message("third")])
    lease = await bench.claim()
    await journal.record(lease, TurnMerged(step=1, seqs=(lease.seq + 1, lease.seq + 2)))
    end = TurnFinished(outcome="answered", text="both", answers=(2, 3, 4), model="m")
    await journal.record(lease, end, outbox=[NewDelivery(part=0, parts=1, text="both")], done=True)
    await journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="10"))
    await bench.answer("plain", "plain answer")
    await journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="11"))
    await bench.say("what fails", chat="2")
    lease = await bench.claim()
    refused = ModelAttempt(model="n", outcome="E-MODEL-DOWN", cost_usd=0.0004, possible_usd=0.01)
    failed = replace(ending(lease, "failed"), attempts=(refused,))
    await journal.record(lease, failed, outbox=[NewDelivery(part=0, parts=1, text="sorry")], done=True)
    await journal.outbox_mark((await bench.take_one()).row, Parked(why="quota"))
    await bench.push("sent news", chat="3")
    await journal.outbox_mark((await bench.take_one()).row, Sent(remote_id="12"))
    await bench.push("waiting news", chat="3")
    await bench.say("stop me", chat="4")
    lease = await bench.claim()
    await journal.record(lease, ModelResult(step=1, response=asked))
    await journal.record(lease, ToolIntent(step=2, call_id="a", name="t", arguments="{}", effect="once"))
    await journal.record(lease, ending(lease, "cancelled", "cut"), done=True)
    if open_turn:
        await bench.say("in work")
        lease = await bench.claim()
        journal.note(lease, ModelIntent(step=1, route="default", model="m", reserve_usd=0.02))
    await bench.say("queued", chat="5")


async def rich_journal(state_dir: Path) -> None:
    """Fill a new state directory, and leave it as a killed daemon would: a turn is in work."""
    opened = await open_journal(state_dir, JournalConfig(), ManualClock())
    try:
        await fill(bench_of(opened))
    finally:
        await opened.close()
