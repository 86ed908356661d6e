"""A row that can't be read parks its own conversation and nothing else."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from clawd.errors import Fenced, JournalCorrupt
from clawd.journal.deliveries import Dead
from tests.conformance.journals import Bench, result

if TYPE_CHECKING:
    from clawd.ids import TurnId
    from clawd.journal.opening import OpenJournal

DAMAGE = {
    "a newer message": "UPDATE inbox SET v = 2 WHERE conv = 1",
    "a broken message": "UPDATE inbox SET body = '{' WHERE conv = 1",
    "a missing message": "DELETE FROM inbox WHERE conv = 1 AND seq = 1",
    "newer settings": "UPDATE conv SET settings = '{\"v\":2}' WHERE id = 1",
    "a broken address": "UPDATE conv SET address = 'x' WHERE id = 1",
}


async def run(opened: OpenJournal, sql: str) -> None:
    def work(db: sqlite3.Connection) -> None:
        db.execute(sql)

    await opened.store.write(work)


@pytest.mark.parametrize("damage", DAMAGE)
async def test_claim_skips_what_it_cannot_read_and_takes_the_rest(
    bench: Bench, opened: OpenJournal, damage: str
) -> None:
    await bench.say("first", chat="1")
    await bench.say("second", chat="2")
    await run(opened, DAMAGE[damage])
    assert [lease.message.text for lease in await bench.journal.claim(10)] == ["second"]
    assert await bench.journal.claim(10) == []
    assert (await bench.views.stats()).dead == 1


@pytest.fixture
async def stuck(bench: Bench, opened: OpenJournal) -> TurnId:
    """A turn whose records a newer version wrote."""
    turn = await bench.say("a")
    lease = await bench.claim()
    await bench.journal.record(lease, result())
    await run(opened, "UPDATE journal SET v = 9 WHERE kind = 'llm.result'")
    with pytest.raises(JournalCorrupt):
        await bench.journal.load(lease)
    with pytest.raises(Fenced):
        await bench.finish(lease)
    return turn


async def test_a_turn_that_cannot_be_loaded_is_listed_and_waits(bench: Bench, stuck: TurnId) -> None:
    await bench.say("b")
    assert await bench.journal.claim(10) == []
    (letter,) = await bench.views.dead()
    assert (letter.id, letter.text, letter.state) == (stuck, "a", "dead")
    assert "format 9" in letter.why
    assert (await bench.views.turn(stuck)).error == letter.why
    trace = await bench.views.trace(stuck)
    assert any(name == "unreadable" for line in trace.lines for name, _ in line.detail)


async def test_a_stuck_conversation_is_tried_again_at_the_next_start(
    bench: Bench, opened: OpenJournal, stuck: TurnId
) -> None:
    await run(opened, "UPDATE journal SET v = 1")
    assert await bench.restart() == 1
    lease = await bench.claim()
    assert lease.turn == stuck
    assert result() in (await bench.journal.load(lease)).records


async def test_a_stuck_turn_is_tried_again_when_resubmitted(
    bench: Bench, opened: OpenJournal, stuck: TurnId
) -> None:
    await run(opened, "UPDATE journal SET v = 1")
    assert await bench.admin.resubmit(stuck) == stuck
    assert await bench.journal.work.wait(1)
    assert (await bench.claim()).turn == stuck
    assert await bench.views.dead() == []


async def test_a_dropped_stuck_turn_lets_the_conversation_go_on_without_its_past(
    bench: Bench, stuck: TurnId
) -> None:
    await bench.say("b")
    await bench.admin.drop(stuck)
    lease = await bench.claim()
    assert lease.message.text == "b"
    assert (await bench.journal.load(lease)).history == ()
    assert await bench.views.dead() == []
    await bench.finish(lease)
    assert (await bench.views.stats()).queued == 0


async def test_history_that_cannot_be_read_parks_the_conversation_too(
    bench: Bench, opened: OpenJournal
) -> None:
    await bench.answer("a")
    await run(opened, "UPDATE journal SET body = '[]' WHERE kind = 'turn.finished'")
    await bench.say("b")
    lease = await bench.claim()
    with pytest.raises(JournalCorrupt):
        await bench.journal.load(lease)
    await bench.journal.release(lease, count=True)  # what a worker does then
    assert await bench.journal.claim(10) == []


async def test_a_delivery_that_cannot_be_read_dies_alone(bench: Bench, opened: OpenJournal) -> None:
    await bench.answer("a", "a1")
    await bench.answer("b", "b1")
    await run(opened, "UPDATE outbox SET v = 9 WHERE seq = 1")
    assert await bench.take() == []
    assert (await bench.take_one()).message.text == "b1"
    (letter,) = await bench.views.dead()
    assert "format 9" in letter.why


async def test_lists_show_what_they_can_of_broken_rows(bench: Bench, opened: OpenJournal) -> None:
    turn = await bench.answer("a", "a1")
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, Dead(why="400"))
    await run(opened, "UPDATE inbox SET body = '{'")
    await run(opened, "UPDATE journal SET body = '{'")
    await run(opened, "UPDATE outbox SET body = '{'")
    (view,) = await bench.views.turns()
    assert (view.id, view.question, view.answer) == (turn, "(can't be read)", "")
    assert [e.text for e in (await bench.views.entries(row.message.address)).entries] == [
        "(can't be read)"
    ] * 2
    assert [letter.text for letter in await bench.views.dead()] == ["(can't be read)"]
    assert len(await bench.views.conversations()) == 1
    assert (await bench.views.trace(turn)).deliveries[0].text == "(can't be read)"
