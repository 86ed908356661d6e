"""A process killed at each boundary of the write path: what it acknowledged is there, whole, and nothing is half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock
from clawd.journal.opening import OpenJournal, open_journal
from clawd.store.faults import COMMIT_KINDS
from tests.fakes.forked import fork_child

Reopen = Callable[[Path], Awaitable[OpenJournal]]

KILLED_ELSEWHERE = {
    *("retention", "delete", "vacuum", "breaker", "artifact", "artifact.forget", "alert"),
    *("turn.offline", "turn.woken"),  # by the real daemon, in tests/crash/test_offline.py
}

# What each kind of commit leaves behind: a condition on the database.
TRACES = {
    "accept": "EXISTS (SELECT 1 FROM inbox) AND EXISTS (SELECT 1 FROM dedup)",
    "claim": "EXISTS (SELECT 1 FROM journal WHERE kind = 'turn.started')",
    "release": "EXISTS (SELECT 1 FROM journal WHERE kind = 'turn.started')"
    " AND NOT EXISTS (SELECT 1 FROM conv WHERE owner IS NOT NULL)",
    "preview": "EXISTS (SELECT 1 FROM outbox WHERE state = 'sending' AND body IS NULL)",
    "llm.intent": "EXISTS (SELECT 1 FROM journal WHERE kind = 'llm.intent')",
    "llm.result": "EXISTS (SELECT 1 FROM journal WHERE kind = 'llm.result')",
    "tool.intent": "EXISTS (SELECT 1 FROM journal WHERE kind = 'tool.intent')",
    "tool.result": "EXISTS (SELECT 1 FROM journal WHERE kind = 'tool.result')",
    "turn.merged": "EXISTS (SELECT 1 FROM journal WHERE kind = 'turn.merged')"
    " AND EXISTS (SELECT 1 FROM inbox WHERE merged_into = 1)",
    "turn.waiting": "EXISTS (SELECT 1 FROM journal WHERE kind = 'turn.waiting')"
    " AND EXISTS (SELECT 1 FROM inbox WHERE state = 'waiting') AND NOT EXISTS (SELECT 1 FROM conv WHERE owner IS NOT NULL)",
    "turn.resumed": "EXISTS (SELECT 1 FROM journal WHERE kind = 'turn.resumed')"
    " AND NOT EXISTS (SELECT 1 FROM control WHERE applied_at IS NULL)",
    "session.undone": "EXISTS (SELECT 1 FROM journal WHERE kind = 'session.undone')",
    "summary.intent": "EXISTS (SELECT 1 FROM journal WHERE kind = 'summary.intent')",
    "summary.result": "EXISTS (SELECT 1 FROM journal WHERE kind = 'summary.result')"
    " AND EXISTS (SELECT 1 FROM snapshot WHERE through_seq = 0)",
    "snapshot": "EXISTS (SELECT 1 FROM snapshot WHERE through_seq = 1)",
    "search": "EXISTS (SELECT 1 FROM search) AND EXISTS (SELECT 1 FROM kv WHERE key = 'search_done')",
    "turn.finished": "EXISTS (SELECT 1 FROM journal WHERE kind = 'turn.finished')"
    " AND EXISTS (SELECT 1 FROM outbox WHERE state = 'pending' AND body IS NOT NULL)"
    " AND EXISTS (SELECT 1 FROM inbox WHERE state = 'answered')",
    "outbox.take": "EXISTS (SELECT 1 FROM outbox WHERE state = 'sending' AND body IS NOT NULL)",
    "outbox.mark": "EXISTS (SELECT 1 FROM outbox WHERE state = 'sent')",
}


async def run_child(state_dir: Path, verb: str, fault: str) -> tuple[int | None, list[str]]:
    child = await fork_child("tests.fakes.journal_child", verb, str(state_dir), CLAWD_FAULT=fault)
    async with asyncio.timeout(50):
        out, _ = await child.communicate()
    return child.returncode, out.decode().splitlines()


@pytest.fixture
async def reopen() -> AsyncIterator[Reopen]:
    journals: list[OpenJournal] = []

    async def open_one(state_dir: Path) -> OpenJournal:
        journals.append(await open_journal(state_dir, JournalConfig(), SystemClock()))
        assert journals[-1].warnings == ()
        return journals[-1]

    yield open_one
    for journal in journals:
        await journal.close()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", sorted(COMMIT_KINDS - {"recover", "migration"} - KILLED_ELSEWHERE))
async def test_a_kill_at_a_commit_leaves_all_of_it_or_nothing(
    state_dir: Path, kind: str, moment: str, reopen: Reopen
) -> None:
    code, said = await run_child(state_dir, "turn", f"journal.{moment}_commit:{kind}:1:kill")
    assert code == -9
    assert kind not in said  # nobody was told
    opened = await reopen(state_dir)
    trace = await opened.store.read(f"SELECT {TRACES[kind]}")
    assert trace == [(int(moment == "after"),)]
    await opened.journal.recover(())
    # From wherever it stopped, the turn goes on under the same id, and to its end.
    leases = await opened.journal.claim(10)
    open_turns = 0 if kind.startswith("outbox") or (kind, moment) == ("turn.finished", "after") else 1
    if (kind, moment) in (("accept", "before"), ("turn.waiting", "after")):
        open_turns = 0  # nothing is there yet; or a person is waited for
    assert len(leases) == open_turns
    if "llm.result" in said:
        (records,) = await opened.store.read("SELECT count(*) FROM journal WHERE kind = 'llm.result'")
        assert records == (1,)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["recover", "migration"])
async def test_a_kill_while_starting_is_followed_by_a_clean_start(
    state_dir: Path, kind: str, moment: str, reopen: Reopen
) -> None:
    code, _ = await run_child(state_dir, "turn", "journal.after_commit:outbox.take:1:kill")
    assert code == -9
    if kind == "migration":  # needs a database that is still to be made
        for path in state_dir.iterdir():
            path.unlink()
    code, said = await run_child(state_dir, "turn", f"journal.{moment}_commit:{kind}:1:kill")
    assert code == -9
    assert kind not in said
    opened = await reopen(state_dir)
    assert await opened.journal.recover(()) == 0
    rows = (await opened.journal.outbox_take(1, ["tg"])).rows
    assert [row.message.repeated for row in rows] == ([] if kind == "migration" else [True])


@pytest.mark.timeout(300)
async def test_messages_acknowledged_before_random_kills_are_all_there(
    state_dir: Path, reopen: Reopen
) -> None:
    acknowledged: set[int] = set()
    for nth, moment in ((7, "before"), (31, "after"), (2, "after"), (90, "before"), (13, "after")):
        code, said = await run_child(state_dir, "accept", f"journal.{moment}_commit:accept:{nth}:kill")
        assert code == -9
        acknowledged |= {int(line) for line in said if line.isdigit()}
    opened = await reopen(state_dir)
    rows = await opened.store.read(
        "SELECT CAST(substr(d.key, 3) AS INTEGER), i.seq, c.value, j.id FROM dedup d"
        " LEFT JOIN inbox i ON i.conv = d.conv AND i.seq = d.seq"
        " LEFT JOIN kv c ON c.key = 'cursor:c:' || substr(d.key, 3)"
        " LEFT JOIN journal j ON j.conv = d.conv AND j.seq = d.seq AND j.kind = 'accepted'"
    )
    assert len(acknowledged) > 50
    assert acknowledged <= {row[0] for row in rows}
    assert all(None not in row for row in rows)
    stats = await opened.views.stats()
    assert stats.queued == len(rows)
