"""Alerts on their way to a URL: who calls, what a failure means, and what a name in the configuration may not do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from clawd.alerts.calls import TEST_S, AlertCalls, address_of
from clawd.config.alerts import AlertsConfig, AlertTarget
from clawd.config.schema import NetworkConfig
from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.ids import DeliveryId
from clawd.journal.deliveries import RetryAt
from clawd.journal.items import Push
from clawd.messages import Address, MessageId, OutboundMessage
from clawd.testing import ManualClock
from tests.fakes.alert_site import alert_site
from tests.fakes.inner import Inner
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver

if TYPE_CHECKING:
    from pathlib import Path


NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def calls_to(*targets: dict[str, Any]) -> AlertCalls:
    calls = AlertCalls(ManualClock(datetime.now(UTC)), version="1")
    calls.configure([AlertTarget.model_validate(each) for each in targets], NetworkConfig())
    return calls


def to(url: str) -> OutboundMessage:
    return OutboundMessage(
        id=DeliveryId("delivery:i-1"), address=address_of(url), text='{"version":"4"}', created_at=NOW
    )


async def test_a_call_carries_token_headers_and_signature() -> None:
    async with WebhookReceiver() as receiver:
        calls = calls_to(
            {"url": receiver.url, "token": "t0ken", "headers": {"X-Scope": "ours"}, "secret": SECRET}
        )
        receipt = await calls.send(to(receiver.url))
        (call,) = receiver.delivered
        assert (call.headers["authorization"], call.headers["x-scope"]) == ("Bearer t0ken", "ours")
        assert call.body == b'{"version":"4"}'
        assert receipt.remote_id == call.id


async def test_a_call_without_a_secret_is_not_signed() -> None:
    async with WebhookReceiver() as receiver:
        await calls_to({"url": receiver.url}).send(to(receiver.url))
        (call,) = receiver.calls
        assert "webhook-signature" not in call.headers
        assert call.headers["webhook-id"] == "msg_i-1"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=500), DeliveryUnknown),
        (Fault(status=503, headers={"Retry-After": "7"}), DeliveryRetryLater),
        (Fault(status=429), DeliveryRetryLater),
        (Fault(status=404), DeliveryRetryLater),  # it is being set up
        (Fault(status=302, headers={"Location": "http://127.0.0.1:9/"}), DeliveryRetryLater),
        (Fault(status=400), DeliveryRejected),
        (Fault(status=410), DeliveryRejected),
        (Fault(kind="reset"), DeliveryUnknown),
    ],
)
async def test_a_failure_means_what_it_does_for_every_signed_call(
    fault: Fault, kind: type[DeliveryError]
) -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(fault)
        with pytest.raises(kind) as raised:
            await calls_to({"url": f"{receiver.url}?key=recognisable"}).send(
                to(f"{receiver.url}?key=recognisable")
            )
        assert "recognisable" not in str(raised.value)


async def test_a_target_that_is_gone_is_given_up_and_nobody_hears_of_it() -> None:
    with pytest.raises(DeliveryRejected) as raised:
        await calls_to().send(to("https://example.com/gone"))
    assert raised.value.unreachable


async def test_a_name_that_leads_into_a_private_network_is_not_called() -> None:
    async with WebhookReceiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "internal.example.com")

        class Resolver:
            async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
                return [
                    {"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}
                ]

            async def close(self) -> None: ...

        calls = AlertCalls(ManualClock(), version="1", resolver=Resolver)  # type: ignore[arg-type] # what is asked of one
        calls.configure([AlertTarget.model_validate({"url": url, "allow_http": True})], NetworkConfig())
        with pytest.raises(DeliveryError):
            await calls.send(to(url))
        assert receiver.calls == []


async def test_a_dead_alert_is_no_reason_for_another(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        inner.bridge.next_sends(
            DeliveryRejected("chat", "bad request"), DeliveryRejected("chat", "bad request")
        )
        for kind in ("alert", "push"):
            address = Address(bridge="chat", account="bot", chat=kind)
            await inner.journal.accept([Push(id=MessageId(kind), address=address, text="x", kind=kind)])
        await inner.settled()
        assert sorted(event.alert for event in inner.hear) == [False, True]
        counted = {kind: number for (kind,), number in inner.counts.given_up.numbers().items() if number}
        assert counted == {"alert": 1, "delivery": 1}


async def test_a_receiver_that_hangs_holds_nobody_else_up() -> None:
    async with WebhookReceiver() as slow, WebhookReceiver() as good:
        slow.fault(Fault(kind="hang"))
        calls = calls_to({"url": slow.url}, {"url": good.url})
        async with asyncio.TaskGroup() as tasks:
            hanging = tasks.create_task(calls.send(to(slow.url)))
            await slow.wait_for(1)
            await calls.send(to(good.url))
            assert not hanging.done()
            hanging.cancel()


async def test_a_test_waits_for_nothing_older_and_is_not_sent_late(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver, alert_site(state_dir) as site:
        site.desk.configure(AlertsConfig.model_validate({"targets": [{"url": receiver.url}]}), ())
        site.set(disk_used=0.95)
        await site.watch(120)
        journal = site.journal.journal
        (older,) = (await journal.outbox_take(10, ["_alerts"])).rows
        await journal.outbox_mark(older.row, RetryAt(delay_s=600, why="down"))
        await site.desk.test()
        (first,) = (await journal.outbox_take(10, ["_alerts"])).rows
        await journal.outbox_mark(first.row, RetryAt(delay_s=600, why="down"))
        await site.desk.test()
        (test,) = (await journal.outbox_take(10, ["_alerts"])).rows  # it waits for no test either
        calls = AlertCalls(site.clock, version="1")
        calls.configure([AlertTarget.model_validate({"url": receiver.url})], NetworkConfig())
        await calls.send(test.message)
        await site.clock.advance(TEST_S + 1)
        with pytest.raises(DeliveryRejected, match="did not arrive within 60 s") as raised:
            await calls.send(test.message)
        assert raised.value.unreachable, "nobody is told of a test that failed"
        await calls.send(older.message)
        assert len(receiver.calls) == 2


def test_a_target_that_is_down_is_tried_every_minute() -> None:
    schedule = AlertCalls(ManualClock(), version="1").capabilities.retry_schedule_s
    assert schedule == (5, 15, 30, 60)


async def test_an_error_names_the_target_and_says_plainly_why() -> None:
    url = "http://127.0.0.1:1/hook?key=recognisable"
    with pytest.raises(DeliveryRetryLater) as raised:
        await calls_to({"url": url}).send(to(url))
    assert str(raised.value) == "the alert target 127.0.0.1:1 can't be reached (connection refused)"
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=404))
        host = receiver.url.split("/")[2]
        with pytest.raises(DeliveryRetryLater, match=f"the alert target {host} did not take it") as raised:
            await calls_to({"url": receiver.url}).send(to(receiver.url))
        assert raised.value.why.startswith("HTTP 404")
