"""What goes wrong when the WeCom bridge sends ends in the word that the outbox needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.messages import Preview
from clawd.testing import ManualClock
from tests.fakes.wecom import USER, Asked, address, asked, outbound, reference, wecom_bridge
from tests.fakes.wecom_api import FakeWecom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWecom]:
    async with FakeWecom() as server:
        yield server


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cmd", ["aibot_respond_msg", "aibot_send_msg"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "errcode", "errcode": 45009}, DeliveryRetryLater),
        ({"kind": "errcode", "errcode": 45033}, DeliveryRetryLater),
        ({"kind": "errcode", "errcode": -1}, DeliveryRetryLater),
        ({"kind": "errcode", "errcode": 846609}, DeliveryRetryLater),
        ({"kind": "errcode", "errcode": 93006}, DeliveryRejected),
        ({"kind": "errcode", "errcode": 40058}, DeliveryRejected),
        ({"kind": "errcode", "errcode": 44004}, DeliveryRejected),
        ({"kind": "no_ack"}, DeliveryUnknown),
        ({"kind": "wrong_req_id"}, DeliveryUnknown),
        ({"kind": "cut_before"}, DeliveryUnknown),
        ({"kind": "cut_after"}, DeliveryUnknown),
    ],
    ids=lambda value: str(value.get("errcode", value["kind"])) if isinstance(value, dict) else "",
)
async def test_each_failure_is_told_for_what_it_is_after_one_frame(
    wecom: FakeWecom, cmd: str, fault: dict[str, Any], error: type[DeliveryError]
) -> None:
    silent = fault["kind"] in ("no_ack", "wrong_req_id")  # for an answer that comes, a busy machine has time
    async with asked(wecom, ack_timeout_s=0.1 if silent else 10) as it:
        wecom.fault(cmd, **fault)
        message = outbound("x", reference=it.reference if cmd == "aibot_respond_msg" else None)
        with pytest.raises(DeliveryError) as caught:
            await it.bridge.send(message)
        assert type(caught.value) is error
        assert len(wecom.frames("aibot_send_msg") + wecom.frames("aibot_respond_msg")) == 1
        code = fault.get("errcode")
        if isinstance(caught.value, DeliveryRejected):
            assert caught.value.unreachable == (code == 93006)
        if isinstance(caught.value, DeliveryRetryLater):
            assert caught.value.retry_after_s == (60 if code in (45009, 45033) else None)


async def test_garbage_in_front_of_an_answer_spoils_nothing(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        wecom.fault("aibot_respond_msg", "garbage")
        await it.reply("Yes")
        assert wecom.finished(USER) == ["Yes"]


async def test_a_connection_that_is_not_subscribed_is_opened_anew_before_the_next_try(
    wecom: FakeWecom,
) -> None:
    async with asked(wecom) as it:
        wecom.fault("aibot_respond_msg", "errcode", errcode=846609)
        with pytest.raises(DeliveryRetryLater):
            await it.reply("Yes")
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        await it.it.connected()
        await it.reply("Yes")
        assert wecom.finished(USER) == ["Yes"]


async def test_a_late_answer_is_never_taken_for_that_of_the_next_frame(wecom: FakeWecom) -> None:
    async with asked(wecom, ack_timeout_s=0.15) as it:
        wecom.fault("aibot_respond_msg", "late_ack", delay_s=0.3)
        wecom.fault("aibot_respond_msg", "errcode", errcode=40058)
        first = await it.show("One")
        assert first.remote_id == it.stream_id, "known beforehand, whether it arrived or not"
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        await it.it.connected()
        # Its own answer is a refusal; the first one's would have been "ok".
        with pytest.raises(DeliveryRejected):
            await it.reply("One two", edit_of=first.remote_id)


async def test_a_connection_lost_with_three_frames_on_it_leaves_all_three_open(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        wecom.fault("aibot_send_msg", "no_ack", count=2)
        wecom.fault("aibot_send_msg", "cut_before")
        async with asyncio.TaskGroup() as tasks:
            sends = [tasks.create_task(_outcome(it, n)) for n in range(3)]
        assert [send.result() for send in sends] == [DeliveryUnknown] * 3


async def _outcome(it: Asked, number: int) -> type[Exception] | None:
    try:
        await it.bridge.send(outbound(f"reply {number}"))
    except DeliveryError as error:
        return type(error)
    return None


async def test_a_finished_stream_that_nobody_confirmed_is_repeated_with_the_mark(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.show("One")
        wecom.fault("aibot_respond_msg", "cut_after")
        with pytest.raises(DeliveryUnknown):
            await it.reply("One two", edit_of=it.stream_id)
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        await it.it.connected()
        await it.reply("One two", edit_of=it.stream_id, repeated=True, repeat_mark="(again)")
        assert wecom.finished(USER) == ["One two", "(again)\nOne two"]


async def test_a_last_snapshot_that_did_not_arrive_is_shown_unmarked(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.show("One")
        wecom.fault("aibot_respond_msg", "cut_before")
        with pytest.raises(DeliveryUnknown):
            await it.reply("One two", edit_of=it.stream_id)
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        await it.it.connected()
        await it.reply("One two", edit_of=it.stream_id, repeated=True, repeat_mark="(again)")
        assert wecom.finished(USER) == ["One two"]
        assert len(wecom.messages(USER)) == 1


async def test_without_a_connection_snapshots_wait_a_moment_and_replies_are_surely_not_sent(
    wecom: FakeWecom,
) -> None:
    bridge = wecom_bridge(wecom.url)
    clock = ManualClock()
    ref = reference("req-1", clock.now())
    with pytest.raises(DeliveryRetryLater):
        await bridge.send(outbound("x"))
    with pytest.raises(DeliveryRetryLater) as caught:
        await bridge.preview(Preview(address=address(), text="x", reference=ref, remote_id="s"))
    assert caught.value.retry_after_s == 2
    await bridge.mark(address(), ref, "working")
    await bridge.close()


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_an_empty_text_is_rejected_without_a_frame(wecom: FakeWecom, text: str) -> None:
    async with asked(wecom) as it:
        with pytest.raises(DeliveryRejected):
            await it.reply(text)
        assert it.snapshots == []
