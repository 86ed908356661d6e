"""What every journal does with what comes in: messages and controls, each once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from clawd.errors import InboxFull
from clawd.ids import draft_id
from clawd.journal.items import AdmittedMessage, Stored
from clawd.messages import Accepted, Cursor, Duplicate, MessageId, Unreadable
from tests.conformance.journals import Bench, inbound, message, push, stop

# --- accept ----------------------------------------------------------------------------------------------


async def test_a_batch_and_its_cursor_are_there_after_a_restart(bench: Bench) -> None:
    batch = [message("a", chat="1"), message("b", chat="2"), message("c", chat="1")]
    results = await bench.journal.accept(batch, Cursor(key="tg:offset", value="17"))
    assert [r.position for r in results if isinstance(r, Accepted)] == [0, 0, 1]
    assert await bench.restart() == 3
    assert await bench.journal.cursor("tg:offset") == "17"
    leases = await bench.journal.claim(10)
    assert {lease.message.text for lease in leases} == {"a", "b"}


async def test_a_message_comes_back_as_it_was_accepted(bench: Bench) -> None:
    original = message("¿qué? 你好 \ud800 \x00")
    await bench.journal.accept([original])
    lease = await bench.claim()
    assert lease.message == original.message
    assert (lease.right, lease.address) == ("chat", original.message.address)


async def test_a_cursor_moves_without_messages(bench: Bench) -> None:
    assert await bench.journal.cursor("k") is None
    assert await bench.journal.accept([], Cursor(key="k", value="1")) == []
    await bench.journal.accept([], Cursor(key="k", value="2"))
    assert await bench.journal.cursor("k") == "2"


async def test_a_redelivered_message_starts_no_second_turn(bench: Bench) -> None:
    first = message("a")
    (accepted,) = await bench.journal.accept([first])
    assert isinstance(accepted, Accepted)
    again = await bench.journal.accept([first, message("b")], Cursor(key="k", value="1"))
    assert again[0] == Duplicate(turn=accepted.turn, same_body=True)
    assert isinstance(again[1], Accepted)
    assert await bench.journal.cursor("k") == "1"
    await bench.restart()
    assert await bench.journal.accept([first]) == [Duplicate(turn=accepted.turn)]


async def test_the_same_message_twice_in_one_batch_starts_one_turn(bench: Bench) -> None:
    first = message("a")
    results = await bench.journal.accept([first, first])
    assert [type(r).__name__ for r in results] == ["Accepted", "Duplicate"]


async def test_the_same_id_with_another_body_is_told_apart(bench: Bench) -> None:
    first = inbound("a", digest="one")
    await bench.journal.accept([AdmittedMessage(message=first, right="chat")])
    for digest, same in (("one", True), ("two", False), (None, True)):
        repeat = AdmittedMessage(message=replace(first, digest=digest), right="chat")
        (duplicate,) = await bench.journal.accept([repeat])
        assert isinstance(duplicate, Duplicate)
        assert duplicate.same_body is same


async def test_message_ids_are_known_for_a_week_and_then_forgotten(bench: Bench) -> None:
    old = message("old")
    await bench.journal.accept([old])
    await bench.clock.advance(7 * 86_400)
    await bench.journal.accept([message("a")])
    assert isinstance((await bench.journal.accept([old]))[0], Duplicate)
    await bench.clock.advance(1)
    await bench.journal.accept([message("b")])
    assert isinstance((await bench.journal.accept([old]))[0], Accepted)


async def test_twenty_parallel_deliveries_of_one_message_are_accepted_once(bench: Bench) -> None:
    first = message("a")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bench.journal.accept([first])) for _ in range(20)]
    results = [task.result()[0] for task in tasks]
    assert sum(isinstance(r, Accepted) for r in results) == 1


async def test_an_unreadable_update_is_kept_as_dead_and_only_once(bench: Bench) -> None:
    update = Unreadable(id=MessageId("u1"), bridge="tg", raw="{" * 100_000, why="not JSON")
    assert await bench.journal.accept([update], Cursor(key="k", value="9")) == [Stored()]
    assert await bench.journal.accept([update]) == [Duplicate(turn=None)]
    (letter,) = await bench.views.dead()
    assert (letter.bridge, letter.why, letter.conversation) == ("tg", "not JSON", None)
    assert letter.id.startswith("update:")


@pytest.mark.parametrize("max_queue", [2])
async def test_a_full_queue_refuses_messages_and_keeps_the_cursor(bench: Bench, max_queue: int) -> None:
    known = message("a")
    await bench.journal.accept([known, message("b"), message("c")], Cursor(key="k", value="1"))
    with pytest.raises(InboxFull) as caught:
        await bench.journal.accept([push(), message("d")], Cursor(key="k", value="2"))
    assert caught.value.depth == max_queue + 1  # a batch is taken whole
    assert await bench.journal.cursor("k") == "1"
    assert await bench.take() == []
    # What is no new message comes in all the same.
    results = await bench.journal.accept([known, stop(), push()])
    assert [type(r).__name__ for r in results] == ["Duplicate", "Stored", "Pushed"]
    for _ in range(2):
        await bench.finish(await bench.claim())
    await bench.journal.accept([message("d")])
    assert await bench.restart() == 2
    await bench.journal.accept([], Cursor(key="k", value="2"))
    with pytest.raises(InboxFull):
        await bench.journal.accept([message("e")])


async def test_accepting_wakes_the_workers(bench: Bench) -> None:
    assert not await bench.journal.work.wait(0)
    await bench.say()
    assert await bench.journal.work.wait(1)
    await bench.journal.outgoing.wait(1)
    await bench.push()
    assert await bench.journal.outgoing.wait(1)


# --- controls --------------------------------------------------------------------------------------------


async def test_a_control_finds_the_open_turn_of_its_conversation(bench: Bench) -> None:
    assert await bench.journal.accept([stop()]) == [Stored(turn=None)]
    first = await bench.say("a")
    await bench.say("b")
    assert await bench.journal.accept([stop()]) == [Stored(turn=first)]
    lease = await bench.claim()
    (control,) = (await bench.journal.load(lease)).controls
    assert (control.kind, control.turn) == ("stop", first)
    assert await bench.journal.accept([stop()]) == [Stored(turn=first)]
    assert await bench.journal.accept([stop(chat="2")]) == [Stored(turn=None)]


async def test_a_stopped_draft_ends_the_turn_that_it_shows_and_no_other(bench: Bench) -> None:
    first, second = await bench.say("a"), await bench.say("b")
    assert await bench.journal.accept([stop(draft=draft_id(second))]) == [Stored(turn=None)]
    assert await bench.journal.accept([stop(draft=draft_id(first))]) == [Stored(turn=first)]


async def test_a_control_that_names_a_finished_turn_stops_no_other_one(bench: Bench) -> None:
    first = await bench.answer("a")
    second = await bench.say("b")
    third = await bench.say("c")
    assert await bench.journal.accept([stop(turn=first)]) == [Stored(turn=None)]
    assert await bench.journal.accept([stop(turn=third)]) == [Stored(turn=third)]
    lease = await bench.claim()
    assert lease.turn == second
    assert (await bench.journal.load(lease)).controls == ()


async def test_the_end_of_a_turn_settles_its_controls(bench: Bench) -> None:
    await bench.say("a")
    await bench.journal.accept([stop()])
    await bench.finish(await bench.claim(), "stopped", outcome="cancelled")
    trace = await bench.views.trace((await bench.views.turns())[0].id)
    assert "control.stop.applied" in [line.what for line in trace.lines]
    assert await bench.journal.accept([stop()]) == [Stored(turn=None)]


async def test_a_repeated_control_is_a_duplicate(bench: Bench) -> None:
    turn = await bench.say()
    control = stop()
    await bench.journal.accept([control])
    assert await bench.journal.accept([control]) == [Duplicate(turn=turn)]
