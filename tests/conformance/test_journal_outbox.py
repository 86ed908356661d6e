"""What every journal does with deliveries: one line per address, states, previews, and starting again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from clawd.errors import Fenced
from clawd.journal.base import Lease
from clawd.journal.deliveries import Dead, DeliveryOutcome, Held, NewDelivery, Parked, RetryAt, Sent
from clawd.journal.records import TurnFinished, TurnMerged
from clawd.messages import Callback, Duplicate
from tests.conformance.journals import Bench, message, push

# --- one line per address --------------------------------------------------------------------------------


async def test_a_reply_carries_what_its_bridge_needs(bench: Bench) -> None:
    turn = await bench.answer("hi", "reply")
    row = await bench.take_one()
    sent = row.message
    assert (sent.text, sent.kind, sent.turn, sent.seq, sent.part, sent.parts) == (
        "reply",
        "reply",
        turn,
        1,
        0,
        1,
    )
    assert (sent.reference, sent.edit_of, sent.repeated, row.attempt) == ("ref", None, False, 1)
    assert sent.in_reply_to is not None
    assert sent.created_at == bench.clock.now()


async def test_a_push_goes_out_once_under_its_key(bench: Bench) -> None:
    item = push("code 123", chat="stranger")
    await bench.journal.accept([item])
    assert await bench.journal.accept([item]) == [Duplicate(turn=None)]
    row = await bench.take_one()
    assert (row.message.text, row.message.kind, row.message.turn) == ("code 123", "push", None)
    await bench.journal.outbox_mark(row.row, Sent(remote_id="5"))
    assert await bench.take() == []


async def test_an_address_has_one_delivery_on_the_wire_and_they_keep_their_order(bench: Bench) -> None:
    await bench.answer("a", "a1", "a2")
    await bench.push("news")
    await bench.answer("b", "b1")
    seen = []
    while rows := await bench.take():
        assert len(rows) == 1
        assert await bench.take() == []
        seen.append(rows[0].message.text)
        await bench.journal.outgoing.wait(0)
        await bench.journal.outbox_mark(rows[0].row, Sent(remote_id=None))
        assert await bench.journal.outgoing.wait(0) is (len(seen) < 4)  # only what is due wakes
    assert seen == ["a1", "a2", "news", "b1"]


async def test_addresses_go_out_side_by_side_up_to_the_count(bench: Bench) -> None:
    for chat in "abcde":
        await bench.answer(chat=chat)
    assert len(await bench.take(3)) == 3
    assert len(await bench.take(3)) == 2


async def test_only_the_asked_bridges_are_taken(bench: Bench) -> None:
    await bench.answer(bridge="tg")
    await bench.answer(bridge="hook")
    assert [r.message.address.bridge for r in await bench.take(9, "hook", "other")] == ["hook"]
    assert [r.message.address.bridge for r in await bench.take(9, "hook", "tg")] == ["tg"]


async def test_the_longest_waiting_address_goes_first_over_all_bridges(bench: Bench) -> None:
    for chat, bridge in (("1", "tg"), ("2", "hook"), ("3", "tg")):
        await bench.answer(chat, chat, chat=chat, bridge=bridge)
        await bench.clock.advance(1)
    assert [r.message.text for r in await bench.take(2, "hook", "tg")] == ["1", "2"]


# --- outcomes --------------------------------------------------------------------------------------------


async def test_a_retry_holds_its_address_until_it_is_due(bench: Bench) -> None:
    await bench.answer("a", "a1", chat="1")
    await bench.push("later", chat="1")
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, RetryAt(delay_s=30, why="429"))
    await bench.answer("b", "b1", chat="2")
    taken = await bench.journal.outbox_take(10, ["tg"])
    assert [r.message.text for r in taken.rows] == ["b1"]
    assert taken.next_due_s == pytest.approx(30)
    await bench.clock.advance(30)
    again = await bench.take_one()
    assert (again.message.text, again.attempt, again.message.repeated) == ("a1", 2, False)
    assert again.message.id == row.message.id
    assert again.first_try_at_ms == row.first_try_at_ms


async def test_a_retry_that_may_have_arrived_is_marked_from_then_on(bench: Bench) -> None:
    await bench.answer()
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, RetryAt(delay_s=0, why="reset", repeated=True))
    row = await bench.take_one()
    assert row.message.repeated
    await bench.journal.outbox_mark(row.row, RetryAt(delay_s=0, why="429"))
    assert (await bench.take_one()).message.repeated


async def test_a_parked_delivery_waits_for_the_users_next_message(bench: Bench) -> None:
    await bench.answer("a", "a1")
    await bench.push("later")
    row = await bench.take_one()
    await bench.clock.advance(1)
    await bench.journal.outbox_mark(row.row, Parked(why="quota"))
    await bench.clock.advance(86_400)
    taken = await bench.journal.outbox_take(10, ["tg"])
    assert (list(taken.rows), taken.next_due_s) == ([], None)
    await bench.push("even later")
    assert await bench.take() == []
    await bench.journal.outgoing.wait(0)
    await bench.say("hello?")
    assert await bench.journal.outgoing.wait(1)
    assert (await bench.take_one()).message.text == "a1"


async def test_a_delivery_parked_after_the_user_wrote_again_is_tried_again(bench: Bench) -> None:
    await bench.answer("a", "a1")
    row = await bench.take_one()
    await bench.clock.advance(1)
    await bench.say("hello?")
    await bench.journal.outbox_mark(row.row, Parked(why="quota"))
    assert (await bench.take_one()).message.text == "a1"


async def test_a_dead_part_takes_the_rest_of_its_reply_along_and_nothing_else(bench: Bench) -> None:
    await bench.answer("a", "a1", "a2", "a3")
    await bench.answer("b", "b1")
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, Sent(remote_id=None))
    row = await bench.take_one()
    assert row.message.text == "a2"
    await bench.journal.outbox_mark(row.row, Dead(why="blocked"))
    assert (await bench.take_one()).message.text == "b1"
    dead = await bench.views.dead()
    assert {(letter.text, letter.state) for letter in dead} == {("a2", "dead"), ("a3", "dead")}


async def test_a_held_delivery_holds_nothing_else(bench: Bench) -> None:
    await bench.answer("a", "a1")
    await bench.answer("b", "b1")
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, Held(why="reset"))
    assert (await bench.take_one()).message.text == "b1"
    (letter,) = await bench.views.dead()
    assert (letter.text, letter.state, letter.why) == ("a1", "unknown", "reset")


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
async def test_the_clock_set_by_a_day_changes_no_wait(bench: Bench, jump_s: int) -> None:
    await bench.answer("a", "a1", chat="1")
    await bench.answer("b", "b1", chat="2")
    first, second = await bench.take()
    await bench.journal.outbox_mark(first.row, RetryAt(delay_s=30, why="429"))
    bench.clock.jump(jump_s)
    await bench.journal.outbox_mark(second.row, RetryAt(delay_s=40, why="429"))
    taken = await bench.journal.outbox_take(10, ["tg"])
    assert not taken.rows
    assert taken.next_due_s == pytest.approx(30)
    await bench.clock.advance(40)
    assert len(await bench.take()) == 2


@pytest.mark.parametrize("outcome", [Sent(remote_id=None), Dead(why=""), RetryAt(delay_s=0, why="")])
async def test_a_delivery_can_be_marked_only_while_it_is_on_the_wire(
    bench: Bench, outcome: DeliveryOutcome
) -> None:
    await bench.answer()
    row = await bench.take_one()
    await bench.journal.outbox_mark(row.row, Sent(remote_id="1"))
    with pytest.raises(Fenced):
        await bench.journal.outbox_mark(row.row, outcome)
    with pytest.raises(Fenced):
        await bench.journal.outbox_mark(row.row + 99, outcome)


# --- start -----------------------------------------------------------------------------------------------


async def test_what_was_on_the_wire_at_a_crash_is_sent_again_and_marked(bench: Bench) -> None:
    await bench.answer("a", "a1")
    await bench.push("b")
    row = await bench.take_one()
    await bench.restart()
    assert await bench.journal.outgoing.wait(1)
    again = await bench.take_one()
    assert (again.message.text, again.message.repeated, again.message.id) == ("a1", True, row.message.id)


async def test_what_was_on_the_wire_of_a_holding_bridge_waits_for_a_person(bench: Bench) -> None:
    await bench.answer("a", "a1", bridge="weixin")
    await bench.push("b", bridge="weixin")
    await bench.take_one("weixin")
    bench.hold.add("weixin")
    await bench.restart()
    assert (await bench.take_one("weixin")).message.text == "b"
    assert [letter.text for letter in await bench.views.dead()] == ["a1"]


async def test_a_mark_from_before_the_restart_counts_no_more(bench: Bench) -> None:
    await bench.answer()
    row = await bench.take_one()
    await bench.restart()
    with pytest.raises(Fenced):
        await bench.journal.outbox_mark(row.row, Sent(remote_id="1"))


# --- previews --------------------------------------------------------------------------------------------


async def _preview(bench: Bench) -> tuple[Lease, int]:
    await bench.say()
    lease = await bench.claim()
    row = await bench.journal.reserve_preview(lease)
    assert row is not None
    return lease, row


async def test_the_final_text_edits_the_preview(bench: Bench) -> None:
    lease, row = await _preview(bench)
    await bench.journal.preview_sent(row, "77")
    assert await bench.journal.open_preview(lease) == (row, "77")
    assert await bench.take() == []
    await bench.finish(lease, "one", "two")
    first = await bench.take_one()
    assert (first.row, first.message.text, first.message.edit_of, first.message.part) == (row, "one", "77", 0)
    assert not first.message.repeated
    await bench.journal.outbox_mark(first.row, Sent(remote_id=None))
    second = await bench.take_one()
    assert (second.message.text, second.message.edit_of, second.message.part) == ("two", None, 1)


async def test_a_final_text_that_comes_while_the_preview_is_on_the_wire_waits_for_it(bench: Bench) -> None:
    lease, row = await _preview(bench)
    await bench.finish(lease, "final")
    assert await bench.take() == []
    await bench.journal.outgoing.wait(0)
    await bench.journal.preview_sent(row, "77")
    assert await bench.journal.outgoing.wait(1)
    final = await bench.take_one()
    assert (final.message.text, final.message.edit_of, final.message.repeated) == ("final", "77", False)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("final_first", [False, True])
async def test_a_preview_that_was_not_shown_becomes_a_new_message(
    bench: Bench, unknown: bool, final_first: bool
) -> None:
    lease, row = await _preview(bench)
    if final_first:
        await bench.finish(lease, "final")
        await bench.journal.preview_sent(row, None, unknown=unknown)
    else:
        await bench.journal.preview_sent(row, None, unknown=unknown)
        assert await bench.take() == []
        assert await bench.views.dead() == []
        await bench.finish(lease, "final")
    final = await bench.take_one()
    assert (final.message.text, final.message.edit_of) == ("final", None)
    assert final.message.repeated is unknown


async def test_a_preview_of_unknown_fate_is_not_reserved_again(bench: Bench) -> None:
    lease, row = await _preview(bench)
    await bench.journal.preview_sent(row, None, unknown=True)
    assert await bench.journal.reserve_preview(lease) is None
    await bench.restart()
    lease = await bench.claim()
    assert await bench.journal.open_preview(lease) is None
    assert await bench.journal.reserve_preview(lease) is None


async def test_a_crash_while_the_preview_is_on_the_wire_repeats_only_the_final_text(bench: Bench) -> None:
    await _preview(bench)
    await bench.restart()
    assert await bench.take() == []
    lease = await bench.claim()
    assert await bench.journal.reserve_preview(lease) is None
    await bench.finish(lease, "final")
    final = await bench.take_one()
    assert (final.message.text, final.message.edit_of, final.message.repeated) == ("final", None, True)


async def test_a_crash_after_the_end_with_the_preview_on_the_wire_repeats_the_final_text(
    bench: Bench,
) -> None:
    lease, _ = await _preview(bench)
    await bench.finish(lease, "final")
    await bench.restart()
    final = await bench.take_one()
    assert (final.message.text, final.message.edit_of, final.message.repeated) == ("final", None, True)


async def test_an_open_preview_survives_a_crash_and_is_edited_on(bench: Bench) -> None:
    _, row = await _preview(bench)
    await bench.journal.preview_sent(row, "77")
    await bench.restart()
    lease = await bench.claim()
    assert await bench.journal.open_preview(lease) == (row, "77")
    assert await bench.journal.reserve_preview(lease) is None
    await bench.finish(lease, "final")
    assert (await bench.take_one()).message.edit_of == "77"


async def test_an_edit_on_the_wire_at_a_crash_is_the_same_edit_again(bench: Bench) -> None:
    lease, row = await _preview(bench)
    await bench.journal.preview_sent(row, "77")
    await bench.finish(lease, "final")
    await bench.take_one()
    await bench.restart()
    assert (await bench.take_one()).message.edit_of == "77"


@pytest.mark.parametrize("remote_id", [None, "77"])
async def test_a_turn_that_ends_without_a_reply_gives_its_preview_up(
    bench: Bench, remote_id: str | None
) -> None:
    lease, row = await _preview(bench)
    if remote_id is not None:
        await bench.journal.preview_sent(row, remote_id)
    await bench.push("next")
    await bench.finish(lease, outcome="cancelled")
    await bench.journal.preview_sent(row, "78")
    assert (await bench.take_one()).message.text == "next"
    assert await bench.views.dead() == []


async def test_a_preview_on_the_wire_holds_the_address_and_an_open_one_does_not(bench: Bench) -> None:
    lease, row = await _preview(bench)
    await bench.push("news")
    assert await bench.take() == []
    await bench.journal.preview_sent(row, "77")
    news = await bench.take_one()
    assert news.message.text == "news"
    # One at a time, even though the final text has the older row.
    await bench.finish(lease, "final")
    assert await bench.take() == []
    await bench.journal.outbox_mark(news.row, Sent(remote_id=None))
    assert (await bench.take_one()).message.text == "final"


async def test_no_preview_overtakes_what_waits_at_its_address(bench: Bench) -> None:
    await bench.push("news")
    await bench.say()
    lease = await bench.claim()
    assert await bench.journal.reserve_preview(lease) is None
    row = await bench.take_one()
    assert await bench.journal.reserve_preview(lease) is None
    await bench.journal.outbox_mark(row.row, Sent(remote_id=None))
    assert await bench.journal.reserve_preview(lease) is not None


# --- events for programs ---------------------------------------------------------------------------------


def told(*, app: str | None = None) -> NewDelivery:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    callback = Callback(event="message.reply", status="answered", at=at, app=app)
    return NewDelivery(part=0, parts=1, text="hello", callback=callback)


async def told_turn(bench: Bench, *urls: str | None, app: str | None = None) -> None:
    """End the turn of a message that came with the first URL; with the others came messages behind it."""
    for url in urls:
        asked = message(bridge="api")
        await bench.journal.accept([replace(asked, message=replace(asked.message, callback_url=url))])
    lease = await bench.claim()
    merged = tuple(range(lease.seq + 1, lease.seq + len(urls)))
    if merged:
        await bench.journal.record(lease, TurnMerged(step=1, seqs=merged))
    finished = TurnFinished(outcome="answered", text="hello", answers=(lease.seq, *merged))
    await bench.journal.record(lease, finished, outbox=[told(app=app)], done=True)


async def test_an_event_is_a_delivery_for_each_who_is_to_be_told(bench: Bench) -> None:
    await told_turn(bench, "https://a/", None, "https://b/", "https://a/", app="shop")
    seen = []
    while rows := await bench.take(10, "api"):
        (row,) = rows
        assert row.message.callback is not None
        assert row.message.text == "hello"
        seen.append((row.message.part, row.message.callback.url, row.message.callback.app))
        await bench.journal.outbox_mark(row.row, Sent(remote_id=None))
    assert seen == [(0, "https://a/", None), (1, "https://b/", None), (2, None, "shop")]


async def test_an_event_that_nobody_is_to_be_told_is_not_written(bench: Bench) -> None:
    await told_turn(bench, None)
    assert await bench.take(10, "api") == []


async def test_refusals_are_counted_over_restarts_and_what_was_not_tried_is_no_attempt(bench: Bench) -> None:
    await told_turn(bench, "https://a/")
    seen = []
    for outcome in (
        RetryAt(delay_s=0, why="404", refused=True),
        RetryAt(delay_s=0, why="not now", tried=False),
        RetryAt(delay_s=0, why="503", repeated=True),
        RetryAt(delay_s=0, why="404", refused=True),
        Sent(remote_id=None),
    ):
        row = await bench.take_one("api")
        seen.append((row.attempt, row.refusals))
        await bench.journal.outbox_mark(row.row, outcome)
        if len(seen) == 2:
            await bench.restart()
    assert seen == [(1, 0), (2, 1), (2, 1), (3, 1), (4, 2)]


async def test_a_delivery_that_stands_alone_takes_no_later_part_along(bench: Bench) -> None:
    await told_turn(bench, "https://a/", app="shop")
    row = await bench.take_one("api")
    await bench.journal.outbox_mark(row.row, Dead(why="410", alone=True))
    assert (await bench.take_one("api")).message.part == 1


async def test_an_app_is_told_of_a_message_in_the_commit_that_takes_it(bench: Bench) -> None:
    asked = replace(message("hi", bridge="api"), app="shop")
    await bench.journal.accept([asked])
    assert await bench.journal.accept([asked]) != []
    row = await bench.take_one("api")
    assert row.message.callback is not None
    assert (row.message.callback.event, row.message.text, row.message.seq) == ("message.received", "hi", 1)
    await bench.journal.outbox_mark(row.row, Sent(remote_id=None))
    lease = await bench.claim()
    finished = TurnFinished(outcome="answered", text="hello", answers=(1,))
    await bench.journal.record(lease, finished, outbox=[told(app="shop")], done=True)
    assert (await bench.take_one("api")).message.part == 1
