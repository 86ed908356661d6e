"""A session loaded from a snapshot and what came behind it is the session loaded record by record."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawd.agent import compact
from clawd.agent.context import Block, lay_out, past_blocks
from clawd.agent.memory import snapshot_of
from clawd.agent.turn import Turn, fold
from clawd.agent.undoing import last_exchange
from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal import sqlite_loading
from clawd.journal.base import Lease, Loaded
from clawd.journal.items import AdmittedMessage
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.records import (
    ModelResult,
    Record,
    SessionStarted,
    SummaryResult,
    ToolDone,
    TurnFinished,
    TurnMerged,
    TurnsUndone,
)
from clawd.messages import Address, InboundMessage, MessageId, Sender, Text
from clawd.response import ModelResponse, ToolCall

Kind = Literal["answer", "tool", "fail", "merge", "undo", "retry", "new", "summary"]
KINDS: tuple[Kind, ...] = ("answer", "tool", "fail", "merge", "undo", "retry", "new", "summary")
TEXTS = {"undo": "/undo", "retry": "/retry", "new": "/new"}
HERE = Address(bridge="tg", account="bot", chat="1")


def message(number: int, text: str) -> AdmittedMessage:
    inbound = InboundMessage(
        id=MessageId(f"m:{number}"),
        address=HERE,
        sender=Sender(id="1"),
        parts=(Text(text),),
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return AdmittedMessage(message=inbound, right="chat")


def records(kind: Kind, lease: Lease, loaded: Loaded) -> list[Record]:
    """Return what a turn of this kind commits before its end."""
    tag = f"{kind} {lease.seq}"
    call = ToolCall(id="c", name="time", arguments="{}")
    steps: list[Record] = [
        ModelResult(step=1, response=ModelResponse(model="m", text=tag, tool_calls=(call,))),
        ToolDone(step=2, call_id="c", name="time", text=f"result {lease.seq}"),
    ]
    last = ModelResult(step=3, response=ModelResponse(model="m", text=f"done {tag}"))
    match kind:
        case "answer" | "fail":
            return [ModelResult(step=1, response=ModelResponse(model="m", text=tag))]
        case "tool":
            return [*steps, last]
        case "merge":
            return [*steps, TurnMerged(step=3, seqs=(lease.seq + 1,)), last]
        case "undo" | "retry":
            past = last_exchange(loaded.history)
            if past is None:
                return []
            undone = TurnsUndone(seqs=(past.seq,), again=past.seq if kind == "retry" else None)
            return [undone] if kind == "undo" else [undone, last]
        case "new":
            return [SessionStarted(session=lease.settings.session + 1)]
        case "summary":
            layout = lay_out(loaded.history, past_blocks(loaded.history, Turn()), lease.message, Turn(), {})
            covered = compact.boundary(layout, max(0, len(layout.past) - lease.seq % 3))
            seq = compact.through_seq(layout, covered, lease.seq, loaded.summary_seq)
            summary = SummaryResult(
                step=-1,
                through_seq=seq,
                through_step=2 if lease.seq % 2 else 0,
                text=f"S{lease.seq}",
                response=ModelResponse(model="m", text="s"),
            )
            return [*steps, summary, last]


def shown(loaded: Loaded) -> tuple[str, int, tuple[Block, ...]]:
    return loaded.summary, loaded.summary_seq, past_blocks(loaded.history, Turn())


async def begin(opened: OpenJournal, batch: Sequence[AdmittedMessage]) -> tuple[Lease, Loaded]:
    await opened.journal.accept(batch)
    (lease,) = await opened.journal.claim(1)
    return lease, await opened.journal.load(lease)


async def play(folder: Path, kinds: Sequence[Kind], snapshots: Sequence[bool]) -> None:
    """Do the same in two journals, of which one gets snapshots, and compare what each turn begins with."""
    async with AsyncExitStack() as stack:
        pair: list[OpenJournal] = []
        for name in ("with", "without"):
            pair.append(await open_journal(folder / name, JournalConfig(), SystemClock()))
            stack.push_async_callback(pair[-1].close)
        for number, (kind, snap) in enumerate(zip(kinds, snapshots, strict=True)):
            batch = [message(2 * number, TEXTS.get(kind, f"{kind} {number}"))]
            if kind == "merge":
                batch.append(message(2 * number + 1, f"more {number}"))
            found = []
            for opened in pair:
                lease, loaded = await begin(opened, batch)
                found.append(shown(loaded))
                assert all(len(past.merged) == len(fold(past.records).merged) for past in loaded.history)
                if snap and opened is pair[0]:
                    await opened.journal.snapshot(lease, snapshot_of(lease, loaded))
                outcome: Literal["failed", "answered"] = "failed" if kind == "fail" else "answered"
                end = TurnFinished(outcome=outcome, text=f"end {number}", answers=(lease.seq,))
                await opened.journal.record(lease, *records(kind, lease, loaded), end, done=True)
            assert found[0] == found[1], (number, kind)
        last = [shown((await begin(opened, [message(9999, "last")]))[1]) for opened in pair]
        assert last[0] == last[1]
        (kept,) = await pair[1].store.read("SELECT count(*) FROM snapshot WHERE summary_seq <> through_seq")
        assert kept == (0,)  # the other one has none but summaries


@pytest.mark.timeout(300)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), min_size=4, max_size=14))
def test_a_session_from_any_snapshot_is_the_session_from_its_records(turns: list[tuple[Kind, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_loading, "_PAGE", 3)  # so that sessions of some turns take several reads
        asyncio.run(play(Path(folder), [kind for kind, _ in turns], [snap for _, snap in turns]))
