"""What every journal does when somebody asks for what is kept for them."""

from __future__ import annotations

import pytest

from clawd.journal.deliveries import Parked, RetryAt, Sent
from clawd.journal.items import AdmittedControl, Stored
from clawd.messages import Duplicate, InboundControl, MessageId, Sender
from tests.conformance.journals import SENT_AT, Bench, address

DAY_S = 86_400


def fetch(key: str = "fetch:1", *, chat: str = "1") -> AdmittedControl:
    return AdmittedControl(
        control=InboundControl(
            id=MessageId(key), address=address(chat), sender=Sender(id="42"), kind="fetch", sent_at=SENT_AT
        )
    )


async def park(bench: Bench) -> None:
    row = await bench.take_one()
    await bench.clock.advance(1)
    await bench.journal.outbox_mark(row.row, Parked(why="quota"))


async def test_a_fetch_frees_what_is_parked_there_and_makes_no_turn(bench: Bench) -> None:
    await bench.answer("a", "a1")
    await park(bench)
    await bench.answer("b", "b1", chat="2")
    await park(bench)
    await bench.journal.outgoing.wait(0)
    assert await bench.journal.accept([fetch()]) == [Stored(fetched=True)]
    assert await bench.journal.outgoing.wait(1)
    assert (await bench.take_one()).message.text == "a1"
    assert list(await bench.journal.claim(1)) == []
    assert await bench.journal.accept([fetch()]) == [Duplicate(turn=None)]


async def test_a_fetch_counts_while_an_answer_is_made_or_on_its_way(bench: Bench) -> None:
    await bench.say("a")
    assert await bench.journal.accept([fetch("1")]) == [Stored(fetched=True)]
    lease = await bench.claim()
    assert await bench.journal.accept([fetch("2")]) == [Stored(fetched=True)]
    await bench.finish(lease, "a1")
    assert await bench.journal.accept([fetch("3")]) == [Stored(fetched=True)]
    row = await bench.take_one()
    assert await bench.journal.accept([fetch("4")]) == [Stored(fetched=True)]
    await bench.journal.outbox_mark(row.row, RetryAt(delay_s=9, why="busy"))
    assert await bench.journal.accept([fetch("5")]) == [Stored(fetched=True)]


async def test_what_is_parked_after_it_was_asked_for_is_tried_again(bench: Bench) -> None:
    await bench.answer("a", "a1")
    row = await bench.take_one()
    await bench.clock.advance(1)
    await bench.journal.accept([fetch()])
    await bench.journal.outbox_mark(row.row, Parked(why="quota"))
    row = await bench.take_one()
    assert row.message.text == "a1"
    await bench.journal.outbox_mark(row.row, Parked(why="quota"))
    assert await bench.take() == [], "once"


@pytest.mark.parametrize("jump_s", [-DAY_S, DAY_S])
async def test_a_clock_that_is_set_meanwhile_does_not_forget_what_was_asked_for(
    bench: Bench, jump_s: int
) -> None:
    await bench.answer("a", "a1")
    row = await bench.take_one()
    await bench.journal.accept([fetch()])
    bench.clock.jump(jump_s)
    await bench.journal.outbox_mark(row.row, Parked(why="quota"))
    assert (await bench.take_one()).message.text == "a1"


async def test_a_fetch_of_nothing_is_not_kept(bench: Bench) -> None:
    assert await bench.journal.accept([fetch()]) == [Stored()]
    await bench.answer("a", "a1")
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, Sent(remote_id=None))
    assert await bench.journal.accept([fetch()]) == [Stored()]
    await bench.say("b")
    assert await bench.journal.accept([fetch()]) == [Stored(fetched=True)], "its key was not used up"


async def test_what_was_parked_for_days_begins_its_age_anew_with_all_behind_it(bench: Bench) -> None:
    await bench.answer("a", "a1", "a2")
    await park(bench)
    await bench.clock.advance(3 * DAY_S)
    await bench.journal.accept([fetch()])
    for text in ("a1", "a2"):
        row = await bench.take_one()
        assert row.message.text == text
        assert row.first_try_at_ms == int(bench.clock.now().timestamp() * 1000)
        await bench.journal.outbox_mark(row.row, Sent(remote_id=None))
