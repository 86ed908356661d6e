"""What every journal does with turns: leases, the fenced write, and starting again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from clawd.errors import Fenced, JournalError
from clawd.journal.items import AdmittedMessage, Stored
from clawd.journal.records import (
    ModelIntent,
    SessionStarted,
    SettingsChanged,
    ToolDone,
    ToolIntent,
    TurnStarted,
)
from clawd.messages import Accepted, Edited, MessageId, Moved, Text
from tests.conformance.journals import Bench, address, ending, inbound, message, result

# --- claim, order, fairness ------------------------------------------------------------------------------


async def test_one_conversation_has_one_worker_and_keeps_its_order(bench: Bench) -> None:
    for text in "abc":
        await bench.say(text)
    seen = []
    for left in (2, 1, 0):
        (lease,) = await bench.journal.claim(10)
        assert await bench.journal.claim(10) == []
        assert lease.waiting == left
        seen.append(lease.message.text)
        await bench.finish(lease)
    assert seen == ["a", "b", "c"]


async def test_conversations_take_turns_however_much_one_of_them_asks(bench: Bench) -> None:
    for n in range(5):
        await bench.say(f"flood {n}", chat="flood")
    await bench.clock.advance(1)
    await bench.say("other", chat="other")
    order = []
    while leases := await bench.journal.claim(1):
        await bench.clock.advance(1)
        order.append(leases[0].message.text)
        await bench.finish(leases[0])
    assert order == ["flood 0", "other", "flood 1", "flood 2", "flood 3", "flood 4"]


async def test_claim_takes_no_more_than_asked(bench: Bench) -> None:
    for chat in "abcde":
        await bench.say(chat=chat)
    assert len(await bench.journal.claim(3)) == 3
    assert len(await bench.journal.claim(3)) == 2


async def test_a_claim_is_on_record(bench: Bench) -> None:
    await bench.say()
    lease = await bench.claim()
    assert (await bench.journal.load(lease)).records == (TurnStarted(owner=lease.owner, attempt=1),)


async def test_the_clock_set_back_a_day_stops_no_conversation(bench: Bench) -> None:
    await bench.say("a", chat="1")
    bench.clock.jump(-86_400)
    await bench.say("b", chat="2")
    assert len(await bench.journal.claim(10)) == 2


# --- record ----------------------------------------------------------------------------------------------


async def test_records_come_back_in_order_after_a_restart(bench: Bench) -> None:
    await bench.say()
    lease = await bench.claim()
    written = (
        ModelIntent(step=1, route="default", reserve_usd=0.5),
        result(1, "thinking"),
        ToolIntent(step=2, call_id="c", name="time", arguments="{}", effect="once"),
        ToolDone(step=2, call_id="c", name="time", text="noon", duration_s=0.25),
    )
    bench.journal.note(lease, written[0])
    for record in written[1:]:
        await bench.journal.record(lease, record)
    await bench.restart()
    again = await bench.claim()
    records = (await bench.journal.load(again)).records
    assert [r for r in records if not isinstance(r, TurnStarted)] == list(written)


async def test_a_lost_lease_writes_nothing(bench: Bench) -> None:
    await bench.say()
    old = await bench.claim()
    await bench.restart()
    new = await bench.claim()
    assert new.epoch > old.epoch
    with pytest.raises(Fenced):
        await bench.journal.record(old, result(), ending(old), done=True)
    bench.journal.note(old, ModelIntent(step=1, route="default"))
    await bench.journal.release(old)
    assert await bench.journal.reserve_preview(old) is None
    assert [r.kind for r in (await bench.journal.load(new)).records] == ["turn.started", "turn.started"]
    await bench.finish(new, "reply")
    assert len(await bench.take()) == 1


async def test_a_released_lease_is_over_even_before_the_next_claim(bench: Bench) -> None:
    await bench.say()
    lease = await bench.claim()
    await bench.journal.release(lease)
    with pytest.raises(Fenced):
        await bench.journal.record(lease, result())


async def test_a_finished_lease_is_over(bench: Bench) -> None:
    await bench.say()
    lease = await bench.claim()
    await bench.finish(lease)
    with pytest.raises(Fenced):
        await bench.finish(lease)


async def test_a_step_has_one_result_and_a_refused_write_leaves_nothing(bench: Bench) -> None:
    await bench.say()
    lease = await bench.claim()
    await bench.journal.record(lease, result(1, "paid for"))
    with pytest.raises(JournalError) as caught:
        await bench.journal.record(lease, result(2), result(1, "again"), ending(lease), done=True)
    assert not isinstance(caught.value, Fenced)
    records = (await bench.journal.load(lease)).records
    assert records[1:] == (result(1, "paid for"),)
    await bench.restart()
    lease = await bench.claim()
    with pytest.raises(JournalError):  # nor in a later attempt
        await bench.journal.record(lease, result(1, "paid again"))
    await bench.finish(lease)


async def test_done_without_an_end_is_a_mistake_of_the_caller(bench: Bench) -> None:
    await bench.say()
    lease = await bench.claim()
    with pytest.raises(ValueError, match="TurnFinished"):
        await bench.journal.record(lease, result(), done=True)


async def test_a_finished_turn_is_history_of_the_next_one(bench: Bench) -> None:
    await bench.say("a")
    await bench.say("b")
    first = await bench.claim()
    await bench.finish(first, records=(result(1, "A"),))
    second = await bench.claim()
    (past,) = (await bench.journal.load(second)).history
    assert (past.seq, past.message.text) == (1, "a")
    assert past.records == (result(1, "A"), ending(first))


async def test_a_new_session_leaves_the_past_out(bench: Bench) -> None:
    for text in ("a", "/new", "b", "c"):
        await bench.say(text)
    await bench.finish(await bench.claim())
    await bench.finish(await bench.claim(), records=(SessionStarted(session=2),))
    await bench.finish(await bench.claim())
    last = await bench.claim()
    assert (last.settings.session, last.settings.session_seq) == (2, 2)
    assert [past.message.text for past in (await bench.journal.load(last)).history] == ["b"]


async def test_settings_stay_with_the_conversation(bench: Bench) -> None:
    await bench.say("/model big")
    change = SettingsChanged(model="big", language="zh")
    await bench.finish(await bench.claim(), records=(change,))
    await bench.restart()
    await bench.say("hi")
    lease = await bench.claim()
    assert (lease.settings.model, lease.settings.language, lease.settings.session) == ("big", "zh", 1)
    await bench.say("hi", chat="2")
    assert (await bench.claim()).settings.model is None


# --- attempts and suspects -------------------------------------------------------------------------------


async def test_attempts_count_claims_since_the_last_committed_step(bench: Bench) -> None:
    await bench.say()
    for attempt in (1, 2, 3):
        lease = await bench.claim()
        assert lease.attempts == attempt
        await bench.restart()
    lease = await bench.claim()
    bench.journal.note(lease, ModelIntent(step=1, route="default"))
    await bench.journal.record(lease, ToolIntent(step=1, call_id="", name="x", arguments="{}", effect="once"))
    await bench.restart()
    assert (await bench.claim()).attempts == 5  # an intent is no progress
    await bench.restart()
    lease = await bench.claim()
    await bench.journal.record(lease, result())
    await bench.restart()
    assert (await bench.claim()).attempts == 1


async def test_a_handed_back_turn_does_not_count_unless_asked(bench: Bench) -> None:
    await bench.say()
    for count, expected in ((False, 1), (False, 1), (True, 1), (False, 2), (True, 2), (True, 3)):
        lease = await bench.claim()
        assert lease.attempts == expected
        await bench.journal.release(lease, count=count)
        assert await bench.journal.work.wait(1)


async def test_a_handed_back_conversation_goes_to_the_back(bench: Bench) -> None:
    await bench.say("a", chat="1")
    await bench.clock.advance(1)
    await bench.say("b", chat="2")
    await bench.clock.advance(1)
    lease = await bench.claim()
    await bench.journal.release(lease)
    assert [x.message.text for x in await bench.journal.claim(10)] == ["b", "a"]


async def _make_suspects(bench: Bench, *chats: str) -> None:
    for chat in chats:
        await bench.say(chat, chat=chat)
        await bench.clock.advance(1)
    for _ in range(2):
        assert len(await bench.journal.claim(10)) == len(chats)
        await bench.restart()


async def test_suspects_run_one_at_a_time_beside_the_others(bench: Bench) -> None:
    await _make_suspects(bench, "poison", "bystander")
    await bench.say("fresh", chat="fresh")
    leases = await bench.journal.claim(10)
    assert [lease.message.text for lease in leases] == ["poison", "fresh"]
    assert leases[0].attempts == 3
    assert await bench.journal.claim(10) == []
    # Progress of the suspect lets the next one in, and wakes the workers for it.
    await bench.journal.work.wait(0)
    await bench.journal.record(leases[0], result())
    assert await bench.journal.work.wait(1)
    (next_one,) = await bench.journal.claim(10)
    assert (next_one.message.text, next_one.attempts) == ("bystander", 3)


async def test_after_a_crash_another_suspect_comes_first(bench: Bench) -> None:
    await _make_suspects(bench, "poison", "bystander")
    first = await bench.claim()
    await bench.clock.advance(1)
    await bench.restart()
    second = await bench.claim()
    assert {first.message.text, second.message.text} == {"poison", "bystander"}


async def test_a_suspect_that_ends_lets_the_next_one_in(bench: Bench) -> None:
    await _make_suspects(bench, "a", "b", "c")
    for chat in "abc":
        (lease,) = await bench.journal.claim(10)
        assert lease.message.text == chat
        await bench.finish(lease, outcome="dead")
    assert await bench.journal.claim(10) == []
    await bench.say("again", chat="a")
    await bench.say("again", chat="b")
    assert [lease.attempts for lease in await bench.journal.claim(10)] == [1, 1]


# --- start -----------------------------------------------------------------------------------------------


async def test_a_restart_makes_turns_in_work_claimable_again(bench: Bench) -> None:
    await bench.say("a", chat="1")
    await bench.clock.advance(1)
    await bench.say("b", chat="2")
    in_work = await bench.claim()
    await bench.clock.advance(1)
    assert await bench.restart() == 2
    assert await bench.journal.work.wait(1)
    leases = await bench.journal.claim(10)
    assert [lease.message.text for lease in leases] == ["a", "b"]  # what was in work goes first
    assert leases[0].turn == in_work.turn


async def test_turn_ids_stay_the_same_over_restarts(bench: Bench) -> None:
    turn = await bench.say()
    instance = bench.journal.instance
    await bench.restart()
    assert bench.journal.instance == instance
    assert (await bench.claim()).turn == turn


async def test_a_cancelled_caller_does_not_undo_its_write(bench: Bench) -> None:
    item = message("a")
    caller = asyncio.ensure_future(bench.journal.accept([item]))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await bench.journal.work.wait(5)  # the workers hear of it all the same
    assert (await bench.claim()).message == item.message


async def test_a_moved_chat_goes_on_at_its_new_address(bench: Bench) -> None:
    turn = await bench.answer("a", "reply", chat="old")
    await bench.journal.move_address(address("old"), address("new"))
    row = await bench.take_one()
    assert (row.message.address, row.message.turn) == (address("new"), turn)
    await bench.say("b", chat="new")
    lease = await bench.claim()
    assert [past.message.text for past in (await bench.journal.load(lease)).history] == ["a"]


async def test_a_chat_that_tells_of_its_move_takes_its_threads_along_before_what_is_said_there(
    bench: Bench,
) -> None:
    threads = [
        replace(address(chat), thread=thread) for chat in ("old", "older") for thread in (None, "5", "@42")
    ]
    for number, place in enumerate(threads):
        said = message(f"before {number}", chat=place.chat)
        await bench.journal.accept([replace(said, message=replace(said.message, address=place))])
    moved = Moved(id=MessageId("moved"), old=address("old"), new=address("new"))
    again = replace(moved, id=MessageId("moved again"))
    await bench.journal.accept([moved, message("after", chat="new"), again])
    leases = [await bench.claim() for _ in threads]
    assert {lease.address for lease in leases} == {
        *(replace(place, chat="new") for place in threads[:3]),
        *threads[3:],
    }


async def test_a_chat_moved_to_a_known_address_still_gets_its_replies_there(bench: Bench) -> None:
    await bench.answer("a", "reply a", chat="old")
    await bench.answer("b", "reply b", chat="new")
    await bench.journal.move_address(address("old"), address("new"))
    rows = await bench.take()
    assert [row.message.address for row in rows] == [address("new")] * 2
    await bench.journal.ping()


def _edit(item: AdmittedMessage, text: str, *, later_s: int = 1, sender: str = "42") -> Edited:
    said = item.message
    newer = replace(
        said,
        parts=(Text(text),),
        sender=replace(said.sender, id=sender),
        sent_at=said.sent_at + timedelta(seconds=later_s),
    )
    return Edited(id=MessageId(f"edit:{text}:{later_s}"), message=newer)


async def test_an_edit_takes_the_place_of_a_message_that_nobody_has_begun_with(bench: Bench) -> None:
    first = message("first")
    second = replace(message("secnod"), message=replace(inbound("secnod"), reference="other"))
    accepted = await bench.journal.accept([first, second])
    (edited, older, forged) = await bench.journal.accept(
        [
            _edit(second, "second", later_s=9),
            _edit(second, "an older version", later_s=5),
            _edit(second, "somebody else's", later_s=10, sender="666"),
        ]
    )
    assert isinstance(accepted[1], Accepted)
    assert (edited, older, forged) == (Stored(turn=accepted[1].turn), Stored(), Stored())
    lease = await bench.claim()
    assert lease.message.text == "first"
    assert await bench.journal.accept([_edit(first, "too late")]) == [Stored()]
    await bench.finish(lease)
    after = await bench.claim()
    assert (after.message.text, after.message.id) == ("second", second.message.id)


async def test_an_edit_of_a_message_whose_turn_was_cut_off_comes_too_late(bench: Bench) -> None:
    item = message("first")
    await bench.journal.accept([item])
    await bench.journal.release(await bench.claim())
    assert await bench.journal.accept([_edit(item, "other"), _edit(message("x", chat="2"), "y")]) == [
        Stored(),
        Stored(),
    ]
    assert (await bench.claim()).message.text == "first"


async def test_what_came_over_a_bridge_that_is_left_out_waits_and_holds_up_nobody(bench: Bench) -> None:
    await bench.say(bridge="tg")
    await bench.say(bridge="hook")
    await bench.say(bridge="terminal")
    leases = await bench.journal.claim(9, ["tg", "hook"])
    assert [lease.address.bridge for lease in leases] == ["terminal"]
    assert [lease.address.bridge for lease in await bench.journal.claim(9)] == ["tg", "hook"]
