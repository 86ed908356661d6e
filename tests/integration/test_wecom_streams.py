"""The WeCom bridge answers by one stream while it takes snapshots, by a message of its own afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.errors import DeliveryRejected
from clawd.messages import Preview, Receipt
from clawd.testing import ManualClock
from tests.fakes.wecom import USER, address, asked, outbound, reference, running, wecom_bridge
from tests.fakes.wecom_api import FakeWecom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWecom]:
    async with FakeWecom() as server:
        yield server


# --- streams ----------------------------------------------------------------------------------------------


async def test_a_reply_is_one_frame_where_nothing_was_shown_before(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        receipt = await it.reply("**Yes** 😀")
        assert receipt.remote_id == it.stream_id
        assert it.snapshots == [("**Yes** 😀", True)]
        assert wecom.finished(USER) == ["**Yes** 😀"]


async def test_snapshots_grow_under_one_id_and_the_last_one_is_finished(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        first = await it.show("One")
        again = await it.show("One two", first.remote_id)
        last = await it.reply("One two three", edit_of=first.remote_id)
        assert {first.remote_id, again.remote_id, last.remote_id} == {it.stream_id}
        assert it.snapshots == [("One", False), ("One two", False), ("One two three", True)]
        assert len(wecom.messages(USER)) == 1


async def test_two_snapshots_at_once_never_share_the_wire(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        wecom.fault("aibot_respond_msg", "late_ack", delay_s=0.05)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(it.show("One"))
            tasks.create_task(it.show("One two"))
            tasks.create_task(it.reply("One two three"))
        assert [seen.outcome for seen in wecom.frames("aibot_respond_msg")] == ["late_ack", "ok", "ok"]
        assert wecom.finished(USER) == ["One two three"]


async def test_a_conflict_is_tried_again_after_a_pause(wecom: FakeWecom) -> None:
    clock = ManualClock()
    async with asked(wecom, clock=clock) as it:
        wecom.fault("aibot_respond_msg", "errcode", errcode=6000)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(it.reply("Yes"))
            await clock.sleeping(2)
            await clock.advance(0.5)
        assert wecom.finished(USER) == ["Yes"]


async def test_a_snapshot_never_grows_beyond_the_limit_and_is_cut_between_characters(
    wecom: FakeWecom,
) -> None:
    async with asked(wecom) as it:
        await it.show("字" * 10_000)
        (text, _), *_ = it.snapshots
        assert text == "字" * (20_480 // 3)


async def test_half_a_surrogate_pair_costs_no_reply(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.reply("a\ud83d b")
        assert wecom.finished(USER) == ["a? b"]


async def test_no_previews_where_the_configuration_wants_none(wecom: FakeWecom) -> None:
    async with asked(wecom, stream=False) as it:
        assert not it.bridge.previews(address())
        assert not it.bridge.marks(address())


async def test_what_answers_no_message_is_sent_as_one_of_its_own(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        assert await it.bridge.send(outbound("pushed")) == Receipt(remote_id=None)
        assert it.sent == ["pushed"]
        with pytest.raises(DeliveryRejected):
            await it.bridge.preview(Preview(address=address(), text="x"))


async def test_later_parts_never_take_the_place_of_the_first(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.reply("one", part=0, parts=3)
        await it.reply("two", part=1, parts=3)
        await it.reply("three", part=2, parts=3)
        assert wecom.finished(USER) == ["one", "two", "three"]
        assert it.sent == ["two", "three"]


async def test_four_messages_of_one_person_are_answered_each_by_its_own_stream(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        for number in range(3):
            wecom.user_says(USER, f"more {number}")
        await it.it.inbox.wait_for(4)
        for number, message in enumerate(it.it.inbox.messages):
            assert message.reference is not None
            await it.bridge.mark(address(), message.reference, "working")
            in_progress = [shown for shown in wecom.messages(USER) if not shown.finished]
            assert len(in_progress) <= 1, "the platform takes three of one person"
            await it.bridge.send(outbound(f"answer {number}", reference=message.reference))
        assert wecom.finished(USER) == [f"answer {number}" for number in range(4)]
        assert it.sent == []


# --- the thinking bubble ----------------------------------------------------------------------------------


async def test_a_thinking_bubble_becomes_the_answer(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.think()
        await it.think()
        await it.show("One")
        await it.reply("One two", edit_of=it.stream_id)
        assert it.snapshots == [("<think></think>", False), ("One", False), ("One two", True)]


async def test_a_bubble_shows_under_the_message_in_work_and_nowhere_else(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        wecom.user_says(USER, "another question")
        await it.it.inbox.wait_for(2)
        second = it.it.inbox.messages[1].reference
        assert second is not None
        await it.bridge.mark(address(), second, "working")
        (frame,) = wecom.frames("aibot_respond_msg")
        assert second.endswith(f" {frame.req_id}")
        await it.think("done")
        await it.bridge.mark(address(), "no reference of ours", "working")
        unknown = reference("req-of-an-earlier-process", ManualClock().now())
        await it.bridge.mark(address(), unknown, "working")
        await it.reply("Yes")
        await it.think()
        assert len(wecom.frames("aibot_respond_msg")) == 2, "what is answered thinks no more"


@pytest.mark.parametrize("kind", ["errcode", "no_ack", "cut_before", "cut_after", "wrong_req_id"])
async def test_a_bubble_that_fails_is_nobodys_business(wecom: FakeWecom, kind: Any) -> None:
    async with asked(wecom, ack_timeout_s=0.1) as it:
        wecom.fault("aibot_respond_msg", kind, errcode=846608)
        await it.think()


# --- six minutes ------------------------------------------------------------------------------------------


async def test_a_stream_is_refreshed_then_finished_in_time_and_the_answer_comes_anew(
    wecom: FakeWecom,
) -> None:
    clock = ManualClock()
    async with asked(wecom, clock=clock, heartbeat_s=120) as it:
        await it.show("One")
        await clock.sleeping(2)
        for minutes in (2, 4):
            await clock.advance(120)
            await wecom.wait_until(lambda n=minutes: len(it.snapshots) == n // 2 + 1)  # type: ignore[misc]
            await clock.sleeping(2)
        await clock.advance(90)
        await wecom.wait_until(lambda: it.snapshots[-1][1])
        assert it.snapshots == [("One", False)] * 3 + [("One\n\n…", True)]
        with pytest.raises(DeliveryRejected):
            await it.show("One two", it.stream_id)
        await it.reply("One two three", edit_of=it.stream_id)
        assert wecom.finished(USER) == ["One\n\n…", "One two three"]
        assert it.sent == ["One two three"]


async def test_an_old_message_is_answered_by_one_of_its_own(wecom: FakeWecom) -> None:
    clock = ManualClock()
    async with asked(wecom, clock=clock) as it:
        clock.jump(330)
        with pytest.raises(DeliveryRejected):
            await it.show("One")
        await it.reply("One two")
        assert it.snapshots == []
        assert wecom.finished(USER) == ["One two"]


async def test_a_stream_that_the_platform_gave_up_costs_no_answer(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.show("One")
        wecom.age_s = 361
        with pytest.raises(DeliveryRejected):
            await it.show("One two", it.stream_id)
        await it.reply("One two three", edit_of=it.stream_id)
        assert it.sent == ["One two three"]


@pytest.mark.parametrize("code", [846605, 846608])
async def test_a_reply_that_comes_too_late_is_sent_at_once_as_one_of_its_own(
    wecom: FakeWecom, code: int
) -> None:
    async with asked(wecom) as it:
        wecom.fault("aibot_respond_msg", "errcode", errcode=code)
        assert await it.reply("Yes") == Receipt(remote_id=None)
        assert (it.sent, len(it.snapshots)) == (["Yes"], 1)


# --- another process, another connection ------------------------------------------------------------------


async def test_a_stream_is_finished_over_the_next_connection(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.show("One")
        await wecom.cut()
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        await it.it.connected()
        await it.reply("One two", edit_of=it.stream_id)
        assert wecom.finished(USER) == ["One two"]
        assert it.sent == []


async def test_where_the_platform_takes_it_over_one_connection_only_it_comes_anew(wecom: FakeWecom) -> None:
    wecom.reuse = True
    async with asked(wecom) as it:
        await it.show("One")
        await wecom.cut()
        wecom.reuse = False
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        await it.it.connected()
        await it.reply("One two", edit_of=it.stream_id)
        assert it.sent == ["One two"]


@pytest.mark.parametrize("shown", [True, False])
async def test_a_new_process_finishes_the_stream_of_the_one_before(wecom: FakeWecom, shown: bool) -> None:
    async with asked(wecom) as it:
        await it.think()
        if shown:
            await it.show("One")
        ref, stream_id = it.reference, it.stream_id
    async with running(wecom_bridge(wecom.url)) as again:
        edit_of = stream_id if shown else None
        await again.bridge.send(outbound("One two", reference=ref, edit_of=edit_of))
        assert wecom.finished(USER) == ["One two"]
        assert len(wecom.messages(USER)) == 1


async def test_a_new_process_leaves_a_stream_alone_whose_first_part_is_in_it(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        ref = it.reference
    async with running(wecom_bridge(wecom.url)) as again:
        await again.bridge.send(outbound("two", reference=ref, part=1, parts=2))
        assert wecom.frames("aibot_respond_msg") == [], "a tolerant platform would replace the first part"
        assert wecom.finished(USER) == ["two"]


async def test_a_new_process_begins_no_stream_that_it_may_have_finished_before(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        ref, stream_id = it.reference, it.stream_id
    async with running(wecom_bridge(wecom.url)) as again:
        preview = Preview(address=address(), text="One", reference=ref)
        with pytest.raises(DeliveryRejected):
            await again.bridge.preview(preview)
        going_on = Preview(address=address(), text="One", reference=ref, remote_id=stream_id)
        assert (await again.bridge.preview(going_on)).remote_id == stream_id
