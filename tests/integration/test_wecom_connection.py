"""The WeCom bridge holds one connection: subscribed, kept alive, opened again, and nothing that came is lost."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from clawd.conformance import MemoryInbox
from clawd.errors import BridgeAuthError, BridgeError, BridgeNotReady, DeliveryRetryLater, InboxFull
from clawd.messages import Unreadable
from clawd.testing import ManualClock
from tests.fakes.wecom import Running, outbound, running, wecom_bridge
from tests.fakes.wecom_api import SECRET, FakeWecom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.wecom.bridge import WecomBridge


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWecom]:
    async with FakeWecom() as server:
        yield server


def nothing() -> None:
    """Be told that the bridge is ready."""


async def failing(bridge: WecomBridge) -> BridgeError:
    """Return what a run ends with."""
    with pytest.raises(BridgeError) as caught:
        await bridge.run(MemoryInbox(), nothing)
    return caught.value


async def beat(clock: ManualClock, wecom: FakeWecom, count: int) -> None:
    """Let a heartbeat go out, and see it arrive."""
    await clock.sleeping()
    await clock.advance(30)
    await wecom.wait_until(lambda: wecom.pings == count)


# --- heartbeats -------------------------------------------------------------------------------------------


async def test_a_heartbeat_goes_out_every_thirty_seconds(wecom: FakeWecom) -> None:
    clock = ManualClock()
    async with running(wecom_bridge(wecom.url, clock=clock)) as it:
        await clock.sleeping()
        await clock.advance(29)
        assert wecom.pings == 0
        await clock.advance(1)
        await wecom.wait_until(lambda: wecom.pings == 1)
        for count in (2, 3, 4, 5):
            # The next one counts the last one's answer, which has to be here by then.
            wecom.user_says("zhangsan", f"fence {count}")
            await it.inbox.wait_for(count - 1)
            await beat(clock, wecom, count)
        assert it.runs == 1


async def test_two_heartbeats_without_answer_end_the_connection_within_ninety_seconds(
    wecom: FakeWecom,
) -> None:
    clock = ManualClock()
    wecom.pongs = False
    async with running(wecom_bridge(wecom.url, clock=clock)) as it:
        await beat(clock, wecom, 1)
        await beat(clock, wecom, 2)
        assert it.runs == 1
        await clock.sleeping()
        await clock.advance(30)
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        assert "heartbeats" in str(it.errors[0])


# --- waiting ----------------------------------------------------------------------------------------------


async def test_the_wait_doubles_to_thirty_seconds(wecom: FakeWecom) -> None:
    wecom.handshake_status = 502
    bridge = wecom_bridge(wecom.url)
    waits = [getattr(await failing(bridge), "retry_after_s", None) for _ in range(8)]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    await bridge.close()


async def test_a_server_that_closes_after_each_subscription_is_not_asked_every_second(
    wecom: FakeWecom,
) -> None:
    wecom.close_after_subscribe = True
    bridge = wecom_bridge(wecom.url)
    waits = [getattr(await failing(bridge), "retry_after_s", None) for _ in range(4)]
    assert waits == [1, 2, 4, 8]
    await bridge.close()


async def test_an_answered_heartbeat_proves_the_connection_and_the_wait_begins_anew(
    wecom: FakeWecom,
) -> None:
    clock = ManualClock()
    bridge = wecom_bridge(wecom.url, clock=clock)
    wecom.handshake_status = 502
    for _ in range(4):
        await failing(bridge)
    wecom.handshake_status = 0
    async with running(bridge) as it:
        await beat(clock, wecom, 1)
        wecom.user_says("zhangsan", "fence")  # behind the answer to the heartbeat
        await it.inbox.wait_for(1)
        await wecom.cut()
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        assert isinstance(it.errors[0], BridgeNotReady)
        assert it.errors[0].retry_after_s == 1


# --- refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_credentials_of_another_product_are_told_for_what_they_are(
    wecom: FakeWecom, status: int
) -> None:
    wecom.handshake_status = status
    bridge = wecom_bridge(wecom.url)
    error = await failing(bridge)
    assert isinstance(error, BridgeAuthError)
    assert "not corpid and corpsecret" in error.remedy
    await bridge.close()


async def test_a_wrong_secret_is_an_auth_error_that_does_not_show_it(
    wecom: FakeWecom, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "WrongSecretWrongSecret"
    bridge = wecom_bridge(wecom.url, secret=wrong)
    error = await failing(bridge)
    assert isinstance(error, BridgeAuthError)
    assert "853000" in error.why
    told = f"{error}{error!r}{error.__cause__!r}{caplog.text}{vars(bridge)!r}"
    assert wrong not in told
    await bridge.close()


@pytest.mark.parametrize(
    ("errcode", "wait_s"), [(45009, 180), (12345, 60)], ids=["too often", "a code that nobody knows"]
)
async def test_a_refused_subscription_is_not_repeated_at_once(
    wecom: FakeWecom, errcode: int, wait_s: float
) -> None:
    wecom.fault("aibot_subscribe", "errcode", errcode=errcode)
    bridge = wecom_bridge(wecom.url)
    error = await failing(bridge)
    assert isinstance(error, BridgeNotReady)
    assert error.retry_after_s == wait_s
    await bridge.close()


@pytest.mark.parametrize("kind", ["no_ack", "wrong_req_id", "cut_before"])
async def test_a_subscription_without_answer_is_an_outage(wecom: FakeWecom, kind: str) -> None:
    wecom.fault("aibot_subscribe", kind)  # type: ignore[arg-type]
    bridge = wecom_bridge(wecom.url, ack_timeout_s=0.1)
    assert isinstance(await failing(bridge), BridgeNotReady)
    assert not wecom.connected or kind != "cut_before"
    await bridge.close()


async def test_nobody_at_the_address_is_an_outage(wecom: FakeWecom) -> None:
    await wecom.stop()
    bridge = wecom_bridge(wecom.url)
    error = await failing(bridge)
    assert isinstance(error, BridgeNotReady)
    assert "ConnectorError" in error.why
    with pytest.raises(DeliveryRetryLater):
        await bridge.send(outbound("x"))
    await bridge.close()


# --- one connection ---------------------------------------------------------------------------------------


async def test_the_connection_that_was_kicked_stays_away_and_says_so(
    wecom: FakeWecom, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(wecom_bridge(wecom.url)) as first, running(wecom_bridge(wecom.url)) as second:
        assert first.task is not None
        await asyncio.wait({first.task})
        (error,) = first.errors
        assert isinstance(error, BridgeNotReady)
        assert error.what.startswith("kicked: another connection of this bot took over")
        assert error.retry_after_s is not None
        assert error.retry_after_s > 365 * 86400
        wecom.user_says("zhangsan", "who is there?")
        await second.inbox.wait_for(1)
        assert (first.runs, second.runs, wecom.subscriptions) == (1, 1, 2)
    assert "bridge_kicked" in caplog.text


async def test_after_a_kick_it_comes_back_only_where_the_configuration_says_so(wecom: FakeWecom) -> None:
    bridge = wecom_bridge(wecom.url, reconnect_after_kick_s=900)
    async with running(bridge) as first, running(wecom_bridge(wecom.url)):
        assert first.task is not None
        await asyncio.wait({first.task})
        assert getattr(first.errors[0], "retry_after_s", None) == 900


# --- what comes -------------------------------------------------------------------------------------------


async def test_messages_in_one_read_arrive_in_order(wecom: FakeWecom) -> None:
    async with running(wecom_bridge(wecom.url)) as it:
        texts = [f"number {n}" for n in range(40)]
        for text in texts:
            wecom.user_says("zhangsan", text)
        await it.inbox.wait_for(40)
        assert [m.text for m in it.inbox.messages] == texts
        bodies = [
            wecom.body_of("lisi", {"msgtype": "text", "text": {"content": f"together {n}"}}) for n in range(3)
        ]
        frames = [
            json.dumps({"cmd": "aibot_msg_callback", "headers": {"req_id": f"t{n}"}, "body": body})
            for n, body in enumerate(bodies)
        ]
        wecom.push(*frames)
        await it.inbox.wait_for(43)
        assert [m.text for m in it.inbox.messages[40:]] == [f"together {n}" for n in range(3)]


async def test_garbage_control_characters_and_a_megabyte_stop_nothing(wecom: FakeWecom) -> None:
    async with running(wecom_bridge(wecom.url)) as it:
        wecom.push("not { json")
        wecom.push('{"cmd":"aibot_msg_callback","headers":{"req_id":"r"},"body":{"msgtype":"hologram"}}')
        wecom.push('{"cmd":"something_new","headers":{"req_id":"r"},"body":{}}')
        wecom.push('{"headers":{"req_id":"nobody asked"},"errcode":0}')
        wecom.user_says("zhangsan", "a" * 1_000_000)
        wecom.user_says("zhangsan", "a\x07b")
        await it.inbox.wait_until(lambda: len(it.inbox.messages) == 2)
        assert [len(m.text) for m in it.inbox.messages] == [1_000_000, 3]
        unreadable = [e for e in it.inbox.accepted if isinstance(e, Unreadable)]
        assert [u.why for u in unreadable] == ["not JSON", "no msgid"]
        assert it.runs == 1


async def test_the_same_message_twice_is_one(wecom: FakeWecom) -> None:
    async with running(wecom_bridge(wecom.url)) as it:
        body = wecom.body_of("zhangsan", {"msgtype": "text", "text": {"content": "once"}})
        wecom.callback("aibot_msg_callback", body)
        wecom.callback("aibot_msg_callback", body)
        wecom.user_says("zhangsan", "last")
        await it.inbox.wait_for(2)
        assert [m.text for m in it.inbox.messages] == ["once", "last"]


async def test_what_can_not_be_committed_waits_and_heartbeats_go_on(wecom: FakeWecom) -> None:
    clock = ManualClock()
    inbox = MemoryInbox()
    async with running(wecom_bridge(wecom.url, clock=clock), inbox) as it:
        inbox.refuse(InboxFull(1, retry_after_s=45), InboxFull(1, retry_after_s=45))
        wecom.user_says("zhangsan", "one")
        await clock.sleeping(2)
        wecom.user_says("zhangsan", "two")
        await clock.advance(30)
        await wecom.wait_until(lambda: wecom.pings == 1)
        assert inbox.accepted == []
        await clock.advance(15)
        await clock.sleeping(2)
        await clock.advance(45)
        await inbox.wait_for(2)
        assert [m.text for m in inbox.messages] == ["one", "two"]
        assert it.runs == 1


async def test_what_waits_for_a_commit_outlives_the_connection(wecom: FakeWecom) -> None:
    clock = ManualClock()
    inbox = MemoryInbox()
    async with running(wecom_bridge(wecom.url, clock=clock), inbox):
        inbox.refuse(InboxFull(1, retry_after_s=5))
        wecom.user_says("zhangsan", "one")
        await clock.sleeping(2)
        await wecom.cut()
        await wecom.wait_until(lambda: wecom.subscriptions == 2)
        await inbox.wait_for(1)
        assert [m.text for m in inbox.messages] == ["one"]


async def test_what_comes_while_the_bridge_ends_is_committed_before_it_closes(wecom: FakeWecom) -> None:
    inbox = MemoryInbox()
    async with running(wecom_bridge(wecom.url), inbox) as it:
        await it.stop()
        wecom.user_says("zhangsan", "just in time")
        assert wecom.lost == []
    assert [m.text for m in inbox.messages] == ["just in time"]


async def test_a_send_reads_its_own_answer_after_the_bridge_was_told_to_stop(wecom: FakeWecom) -> None:
    inbox = MemoryInbox()
    async with running(wecom_bridge(wecom.url), inbox) as it:
        wecom.user_says("zhangsan", "hello")
        await inbox.wait_for(1)
        await it.stop()
        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(it.bridge.send(outbound(f"reply {number}")))
        assert sorted(wecom.finished("zhangsan")) == [f"reply {n}" for n in range(5)]


async def test_a_stop_while_it_reads_hands_the_reading_on(wecom: FakeWecom) -> None:
    inbox = MemoryInbox()
    async with running(wecom_bridge(wecom.url), inbox) as it:
        wecom.user_says("zhangsan", "hello")
        await inbox.wait_for(1)
        wecom.fault("aibot_send_msg", "late_ack", delay_s=0.05)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(it.bridge.send(outbound("reply")))
            await wecom.wait_until(lambda: wecom.finished("zhangsan"))
            await it.stop()
        assert wecom.finished("zhangsan") == ["reply"]


async def test_a_second_run_takes_the_place_of_the_first_connection(wecom: FakeWecom) -> None:
    bridge = wecom_bridge(wecom.url)
    first = Running(bridge, MemoryInbox())
    async with asyncio.TaskGroup() as tasks:
        first.task = tasks.create_task(first.run())
        await first.connected()
        await first.stop()
    async with running(bridge, first.inbox) as second:
        wecom.user_says("zhangsan", "hello")
        await second.inbox.wait_for(1)
        assert second.errors == []


# --- events -----------------------------------------------------------------------------------------------


async def test_who_enters_is_welcomed_where_there_is_a_welcome(wecom: FakeWecom) -> None:
    async with running(wecom_bridge(wecom.url, welcome="你好！")):
        wecom.event("zhangsan", {"eventtype": "enter_chat"})
        await wecom.wait_until(lambda: wecom.messages("zhangsan"))
        assert [(m.kind, m.text) for m in wecom.messages("zhangsan")] == [("welcome", "你好！")]
    async with running(wecom_bridge(wecom.url)) as silent:
        wecom.event("lisi", {"eventtype": "enter_chat"})
        wecom.user_says("lisi", "hello")
        await silent.inbox.wait_for(1)
        assert wecom.messages("lisi") == []


async def test_a_welcome_that_is_refused_is_nobodys_business(wecom: FakeWecom) -> None:
    async with running(wecom_bridge(wecom.url, welcome="hi")) as it:
        wecom.fault("aibot_respond_welcome_msg", "errcode", errcode=846605)
        wecom.event("zhangsan", {"eventtype": "enter_chat"})
        await wecom.wait_until(lambda: wecom.frames("aibot_respond_welcome_msg"))
        wecom.user_says("zhangsan", "hello")
        await it.inbox.wait_for(1)
        assert it.errors == []


async def test_the_secret_is_in_no_log(wecom: FakeWecom, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(wecom_bridge(wecom.url)) as it:
        wecom.push("garbage " + SECRET[:4])
        wecom.user_says("zhangsan", "hello", response_url="https://example.invalid/code-of-it")
        await it.inbox.wait_for(2)
        for kind in ("cut_before", "cut_after"):
            wecom.fault("aibot_send_msg", kind)
            with suppress(Exception):
                await it.bridge.send(outbound("x"))
            await it.connected()
        records = "".join(str(record.__dict__) for record in caplog.records)
        assert SECRET not in caplog.text + records
        assert "code-of-it" not in caplog.text + records
