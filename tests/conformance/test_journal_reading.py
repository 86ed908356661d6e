"""What people see of every journal, and what an operator may change."""

from __future__ import annotations

from datetime import timedelta

import pytest

from clawd.errors import HoldsMore, NotFound, NotPossible
from clawd.ids import TurnId
from clawd.journal.deliveries import Dead, Held, Sent
from clawd.journal.records import ModelResult, TurnFinished
from clawd.messages import MessageId, Unreadable
from clawd.response import ModelResponse, Usage
from tests.conformance.journals import Bench, address, message, result, stop


async def test_a_turn_is_shown_from_accepted_to_answered(bench: Bench) -> None:
    turn = await bench.say("what?")
    await bench.say("and?")
    queued = await bench.views.turn(turn)
    assert (queued.state, queued.question, queued.answer, queued.finished_at) == ("queued", "what?", "", None)
    assert [view.position for view in await bench.views.turns()] == [1, 0]
    lease = await bench.claim()
    assert (await bench.views.turn(turn)).state == "running"
    await bench.clock.advance(2)
    response = ModelResponse(model="m", text="that", usage=Usage(input_tokens=10, output_tokens=5))
    end = TurnFinished(outcome="answered", text="that", answers=(1,), model="m")
    await bench.journal.record(lease, ModelResult(step=1, response=response), end, done=True)
    view = await bench.views.turn(turn)
    assert (view.state, view.answer, view.model, view.steps) == ("answered", "that", "m", 1)
    assert (view.input_tokens, view.output_tokens) == (10, 5)
    assert view.finished_at == view.accepted_at + timedelta(seconds=2)


async def test_turns_are_listed_newest_first_by_conversation_and_state(bench: Bench) -> None:
    first = await bench.answer("a", chat="1")
    second = await bench.say("b", chat="2")
    third = await bench.say("c", chat="1")
    assert [t.id for t in await bench.views.turns()] == [third, second, first]
    assert [t.id for t in await bench.views.turns(limit=1)] == [third]
    assert [t.id for t in await bench.views.turns(address=address("1"))] == [third, first]
    assert [t.id for t in await bench.views.turns(state="queued")] == [third, second]


@pytest.mark.parametrize("name", ["turn:zzz-1-1", "turn:1", "", "delivery:1"])
async def test_an_unknown_turn_is_not_found(bench: Bench, name: str) -> None:
    await bench.say()
    for question in (
        bench.views.turn(TurnId(name)),
        bench.views.trace(name),
        bench.admin.retry(TurnId(name)),
    ):
        with pytest.raises(NotFound):
            await question


async def test_conversations_are_listed_with_their_newest_message(bench: Bench) -> None:
    await bench.answer("a", chat="1")
    await bench.clock.advance(1)
    await bench.say("b", chat="2")
    await bench.say("c" * 1000, chat="2")
    newest, older = await bench.views.conversations()
    assert (newest.address, newest.turns, newest.open_turns) == (address("2"), 2, 2)
    assert len(newest.last_text) == 200
    assert (older.last_text, older.open_turns, older.last_at is not None) == ("a", 0, True)


async def test_conversations_are_listed_by_the_beginning_of_their_address(bench: Bench) -> None:
    for chat in ("shop-1", "shop-2", "shop", "s", "t", "你"):
        await bench.say("a", chat=chat)
    found = await bench.views.conversations(prefix=str(address("shop")))
    assert {view.address.chat for view in found} == {"shop-1", "shop-2", "shop"}
    assert len(await bench.views.conversations(prefix=str(address("")))) == 6
    assert not await bench.views.conversations(prefix="nobody:")


async def test_entries_come_in_the_order_of_their_commits(bench: Bench) -> None:
    await bench.say("q1")
    await bench.say("q2")
    page = await bench.views.entries(address())
    assert [(e.role, e.text, e.state) for e in page.entries] == [
        ("user", "q1", "queued"),
        ("user", "q2", "queued"),
    ]
    await bench.push("news")
    await bench.finish(await bench.claim(), "reply")
    later = await bench.views.entries(address(), after=page.cursor)
    assert [(e.role, e.text, e.state) for e in later.entries] == [
        ("assistant", "news", "pending"),
        ("assistant", "reply", "answered"),
    ]
    assert later.entries[0].turn is None
    assert [entry.answers for entry in later.entries] == [(), (page.entries[0].turn,)]
    assert page.cursor < later.cursor
    end = await bench.views.entries(address(), after=later.cursor)
    assert (list(end.entries), end.cursor) == ([], later.cursor)


async def test_entries_without_a_cursor_are_the_newest(bench: Bench) -> None:
    for text in "abc":
        await bench.say(text)
    await bench.say("elsewhere", chat="2")
    page = await bench.views.entries(address(), limit=2)
    assert [e.text for e in page.entries] == ["b", "c"]
    assert (await bench.views.entries(address("nowhere"))).entries == ()
    for cursor in ("not a cursor", "-1", "0x1", " 1", "1_0", "f" * 16):
        with pytest.raises(NotFound):
            await bench.views.entries(address(), after=cursor)


async def test_a_trace_tells_the_whole_path_with_times(bench: Bench) -> None:
    turn = await bench.say("hi")
    await bench.journal.accept([stop(turn=turn)])
    lease = await bench.claim()
    await bench.clock.advance(1)
    await bench.finish(lease, "reply", records=(result(),))
    row = await bench.take_one()
    await bench.clock.advance(1)
    await bench.journal.outbox_mark(row.row, Sent(remote_id="77"))
    trace = await bench.views.trace(turn)
    assert [line.what for line in trace.lines] == [
        "accepted",
        "turn.started",
        "control.stop",
        "llm.result",
        "turn.finished",
        "control.stop.applied",
        "delivery.pending",
        "delivery.sending",
        "delivery.sent",
    ]
    assert trace.lines[-1].at - trace.lines[0].at == timedelta(seconds=2)
    assert ("remote_id", "77") in trace.lines[-1].detail
    assert [d.id for d in trace.deliveries] == [row.message.id]
    assert [(span.kind, span.name) for span in trace.spans] == [
        ("turn", turn),
        ("queue", "queued"),
        ("model", "m"),
        ("delivery", row.message.id),
        ("delivery", "attempt 1"),
    ]
    assert trace.spans[0].end - trace.spans[0].start == timedelta(seconds=2)
    assert not any(span.open for span in trace.spans)
    assert await bench.views.trace(row.message.id) == trace


async def test_the_trace_of_a_push_is_that_of_its_delivery(bench: Bench) -> None:
    delivery = await bench.push()
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, Sent(remote_id="77"))
    trace = await bench.views.trace(delivery)
    assert trace.turn is None
    assert [line.what for line in trace.lines] == ["delivery.pending", "delivery.sending", "delivery.sent"]
    assert [(span.kind, span.parent) for span in trace.spans] == [("delivery", None), ("delivery", 0)]
    assert [(d.id, d.state, d.turn) for d in trace.deliveries] == [(delivery, "sent", None)]


async def test_stats_count_what_is_open(bench: Bench) -> None:
    empty = await bench.views.stats()
    assert (empty.queued, empty.running, empty.oldest_age_s, empty.dead, empty.last_id) == (0, 0, 0.0, 0, 0)
    for chat in "123":
        await bench.say(chat=chat)
    await bench.say(chat="1")
    await bench.finish(await bench.claim(), "reply")
    await bench.claim()
    await bench.journal.accept([Unreadable(id=MessageId("u"), bridge="tg", raw="?", why="?")])
    await bench.clock.advance(5)
    stats = await bench.views.stats()
    assert (stats.queued, stats.running, stats.deliveries_open, stats.dead) == (2, 1, 1, 1)
    assert (stats.conversations, round(stats.oldest_age_s), round(stats.ready_age_s)) == (3, 5, 5)
    assert stats.last_id > 0


async def test_stats_tell_who_waits_for_a_worker_and_not_who_has_one(bench: Bench) -> None:
    assert (await bench.views.stats()).ready_age_s == 0
    await bench.say(chat="1")
    await bench.claim()
    await bench.say(chat="1")  # waits for the turn in front of it, whatever the workers do
    await bench.clock.advance(60)
    stats = await bench.views.stats()
    assert (stats.ready_age_s, round(stats.oldest_age_s)) == (0, 60)
    await bench.say(chat="2")
    await bench.clock.advance(3)
    assert (await bench.views.stats()).ready_age_s == 3


# --- what an operator may change -------------------------------------------------------------------------


async def test_a_reset_begins_a_new_session(bench: Bench) -> None:
    await bench.answer("a")
    await bench.admin.reset(address())
    await bench.say("b")
    lease = await bench.claim()
    assert lease.settings.session == 2
    assert (await bench.journal.load(lease)).history == ()
    with pytest.raises(NotFound):
        await bench.admin.reset(address("nowhere"))


async def test_a_deleted_conversation_is_gone_but_its_messages_stay_known(bench: Bench) -> None:
    item = message("a")
    await bench.journal.accept([item])
    with pytest.raises(NotPossible):
        await bench.admin.delete(address())
    await bench.finish(await bench.claim(), "reply")
    await bench.answer("b", chat="2")
    row = (await bench.take())[0]
    with pytest.raises(NotPossible):
        await bench.admin.delete(row.message.address)
    await bench.journal.outbox_mark(row.row, Sent(remote_id=None))
    assert await bench.admin.delete(address()) == 1
    assert (await bench.views.entries(address())).entries == ()
    assert (await bench.journal.accept([item]))[0].__class__.__name__ == "Duplicate"
    with pytest.raises(NotFound):
        await bench.admin.delete(address())
    fresh = await bench.say("again")
    assert (await bench.views.turn(fresh)).seq == 1
    assert len(await bench.views.conversations()) == 2


async def test_a_conversation_is_deleted_for_the_sake_of_one_turn_only_where_it_has_had_no_other(
    bench: Bench,
) -> None:
    first = await bench.say("a", chat="2")
    with pytest.raises(NotPossible, match="open turns"):
        await bench.admin.delete(address("2"), only=first)
    await bench.finish(await bench.claim(), "reply")
    await bench.journal.outbox_mark((await bench.take_one()).row, Sent(remote_id=None))
    more = await bench.answer("b", chat="2")  # accepted and finished since the first one was looked at
    await bench.journal.outbox_mark((await bench.take_one()).row, Sent(remote_id=None))
    for turn in (first, more, TurnId("turn:other-1-1")):
        with pytest.raises(HoldsMore):
            await bench.admin.delete(address("2"), only=turn)
    assert len(await bench.views.turns(address=address("2"))) == 2
    alone = await bench.answer("c", chat="3")
    await bench.journal.outbox_mark((await bench.take_one()).row, Sent(remote_id=None))
    assert await bench.admin.delete(address("3"), only=alone) == 1


async def test_a_failed_turn_is_asked_again_at_the_end_of_its_conversation(bench: Bench) -> None:
    turn = await bench.say("a")
    with pytest.raises(NotPossible):
        await bench.admin.retry(turn)
    await bench.finish(await bench.claim(), "sorry", outcome="failed")
    await bench.say("b")
    await bench.journal.work.wait(0)
    again = await bench.admin.retry(turn)
    assert await bench.journal.work.wait(1)
    assert again != turn
    assert (await bench.claim()).message.text == "b"
    view = await bench.views.turn(again)
    assert (view.question, view.state, view.position) == ("a", "queued", 1)


async def test_an_answered_turn_is_not_asked_again(bench: Bench) -> None:
    turn = await bench.answer()
    with pytest.raises(NotPossible):
        await bench.admin.retry(turn)


async def test_a_dead_turn_is_resubmitted_once_or_dropped(bench: Bench) -> None:
    turns = []
    for text in "ab":
        turns.append(await bench.say(text))
        await bench.finish(await bench.claim(), "sorry", outcome="dead")
    assert [letter.id for letter in await bench.views.dead()] == turns[::-1]
    fresh = await bench.admin.resubmit(turns[0])
    assert (await bench.views.turn(TurnId(fresh))).state == "queued"
    await bench.admin.drop(turns[1])
    assert await bench.views.dead() == []
    for gone in turns:
        for change in (bench.admin.resubmit(gone), bench.admin.drop(gone)):
            with pytest.raises(NotPossible):
                await change


async def test_a_dead_delivery_is_resubmitted_with_the_parts_that_died_with_it(bench: Bench) -> None:
    await bench.answer("a", "a1", "a2")
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, Dead(why="400"))
    await bench.journal.outgoing.wait(0)
    assert await bench.admin.resubmit(row.message.id) == row.message.id
    assert await bench.journal.outgoing.wait(1)
    for text in ("a1", "a2"):
        again = await bench.take_one()
        assert (again.message.text, again.message.repeated, again.attempt) == (text, False, 1)
        await bench.journal.outbox_mark(again.row, Sent(remote_id=None))
    with pytest.raises(NotPossible):
        await bench.admin.resubmit(row.message.id)


async def test_a_held_delivery_is_resubmitted_with_a_mark_or_dropped(bench: Bench) -> None:
    rows = []
    for text in "ab":
        await bench.answer(text, text)
        rows.append(await bench.take_one())
        await bench.journal.outbox_mark(rows[-1].row, Held(why="reset"))
    await bench.admin.resubmit(rows[0].message.id)
    assert (await bench.take_one()).message.repeated
    await bench.admin.drop(rows[1].message.id)
    assert await bench.views.dead() == []
    assert (await bench.views.stats()).dead == 0


async def test_an_unreadable_update_can_only_be_dropped(bench: Bench) -> None:
    await bench.journal.accept([Unreadable(id=MessageId("u"), bridge="tg", raw="?", why="?")])
    (letter,) = await bench.views.dead()
    with pytest.raises(NotPossible):
        await bench.admin.resubmit(letter.id)
    await bench.admin.drop(letter.id)
    assert await bench.views.dead() == []
    for name in (letter.id, "delivery:zzz-1", "nonsense"):
        with pytest.raises(NotFound):
            await bench.admin.drop(name)
