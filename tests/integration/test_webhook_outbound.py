"""Callbacks to a receiver on loopback, verified by an independent library, with every fault it can commit."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bridges.webhook import WebhookConfig
from bridges.webhook.bridge import WebhookBridge
from bridges.webhook.replies.base import NOT_SENT
from clawd.bridge import NetworkConfig, ProbeBridge
from clawd.conformance import MemoryInbox
from clawd.errors import BridgeError, DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.ids import SystemClock, delivery_id
from clawd.messages import Address, OutboundMessage
from clawd.webhooks import sending as module
from tests.fakes.bridge_context import bridge_context
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver
from tests.fakes.webhook_sender import ROTATED

if TYPE_CHECKING:
    from clawd.ids import Clock

REPLY = OutboundMessage(
    id=delivery_id("i7", 12),
    address=Address(bridge="hook", account="webhook", chat="order-42"),
    text="你好",
    created_at=datetime(2026, 1, 1, 12, 0, tzinfo=UTC),
    seq=1,
    reference="msg_clawd_0001",
)


class _Clock(SystemClock):
    """The real clock, some seconds off."""

    def __init__(self) -> None:
        self.off_s = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(super().now().timestamp() + self.off_s, UTC)


def bridge(
    url: str | None, *, clock: Clock | None = None, network: NetworkConfig | None = None, **section: Any
) -> WebhookBridge:
    config = WebhookConfig.model_validate(
        {"secret": ROTATED, "callback_secret": SECRET, "callback_url": url} | section
    )
    context = bridge_context("hook", clock=clock, network=network, version="1.2")
    return WebhookBridge(context, config)


async def failure(sender: WebhookBridge, message: OutboundMessage = REPLY) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await sender.send(message)
    return caught.value


async def test_a_reply_arrives_signed_as_an_independent_library_expects() -> None:
    async with WebhookReceiver() as receiver:
        receipt = await bridge(receiver.url).send(REPLY)
        assert receipt.remote_id == "msg_i7-12"
        (call,) = receiver.calls
        assert (call.method, call.path, call.verified) == ("POST", "/callback", True)
        assert call.headers["user-agent"] == "clawd/1.2"
        assert call.headers["content-type"] == "application/json"
        assert call.event["data"]["text"] == "你好"
        assert call.event["data"]["in_reply_to"] == "msg_clawd_0001"


async def test_a_repeat_has_the_same_id_and_bytes_and_a_fresh_time_and_signature() -> None:
    clock = _Clock()
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=500), Fault(status=503))
        sender = bridge(receiver.url, clock=clock)
        assert isinstance(await failure(sender), DeliveryUnknown)
        clock.off_s = 5
        assert isinstance(await failure(sender, replace(REPLY, repeated=True)), DeliveryUnknown)
        clock.off_s = 10
        await sender.send(replace(REPLY, repeated=True))
        assert len({call.body for call in receiver.calls}) == 1
        assert {call.id for call in receiver.calls} == {"msg_i7-12"}
        assert len({call.headers["webhook-timestamp"] for call in receiver.calls}) == 3
        assert len({call.headers["webhook-signature"] for call in receiver.calls}) == 3
        assert all(call.verified for call in receiver.calls)


async def test_during_a_rotation_receivers_with_either_secret_are_content() -> None:
    async with WebhookReceiver(SECRET) as old, WebhookReceiver(ROTATED) as new:
        for receiver in (old, new):
            await bridge(receiver.url, callback_secret=[SECRET, ROTATED]).send(REPLY)
            assert receiver.calls[0].verified


async def test_without_a_callback_secret_the_inbound_one_signs() -> None:
    async with WebhookReceiver(ROTATED) as receiver:
        await bridge(receiver.url, callback_secret=None).send(REPLY)
        assert receiver.calls[0].verified


async def test_without_a_callback_url_a_reply_is_kept_and_sent_nowhere() -> None:
    assert (await bridge(None).send(REPLY)).remote_id == NOT_SENT


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=400, body="no such order"), DeliveryRejected),
        (Fault(status=410), DeliveryRejected),
        (Fault(status=404), DeliveryRetryLater),
        (Fault(status=429, headers={"Retry-After": "7"}), DeliveryRetryLater),
        (Fault(status=503, headers={"Retry-After": "7"}), DeliveryRetryLater),
        (Fault(status=503), DeliveryUnknown),
        (Fault(kind="reset"), DeliveryUnknown),
    ],
)
async def test_each_fault_is_the_delivery_error_it_should_be(fault: Fault, kind: type[DeliveryError]) -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(fault)
        error = await failure(bridge(receiver.url))
        assert type(error) is kind
        assert fault.body in error.why
        if isinstance(error, DeliveryRetryLater) and fault.headers:
            assert error.retry_after_s == 7


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=status, headers={"Location": "/elsewhere"}))
        assert isinstance(await failure(bridge(receiver.url)), DeliveryRetryLater)
        assert [call.path for call in receiver.calls] == ["/callback"]


async def test_a_receiver_that_never_answers_leaves_the_delivery_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(kind="hang"))
        with monkeypatch.context() as patch:
            patch.setattr(module, "_TOTAL_TIMEOUT_S", 0.5)  # the request itself has to arrive in that
            assert isinstance(await failure(bridge(receiver.url)), DeliveryUnknown)
        await bridge(receiver.url).send(REPLY)
        assert [call.repeat for call in receiver.calls] == [False, True]
        assert len(receiver.delivered) == 1


async def test_a_success_counts_although_its_body_never_ends() -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(kind="slow_body", status=200))
        assert (await bridge(receiver.url).send(REPLY)).remote_id == "msg_i7-12"


async def test_a_huge_answer_is_read_no_further_than_needed() -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(kind="huge", status=200), Fault(kind="huge", status=400))
        await bridge(receiver.url).send(REPLY)
        error = await failure(bridge(receiver.url))
        assert isinstance(error, DeliveryRejected)
        assert len(error.why) < 300
        assert receiver.huge_mib < 32  # what fits into the buffers of two connections


async def test_a_refused_connection_is_surely_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = await failure(bridge(f"http://127.0.0.1:{port}/cb?key=private"))
    assert isinstance(error, DeliveryRetryLater)
    assert f"127.0.0.1:{port}" in error.why
    assert "private" not in str(error)


async def test_a_name_that_can_not_be_found_is_surely_not_sent() -> None:
    assert isinstance(await failure(bridge("https://nowhere.invalid/cb")), DeliveryRetryLater)


async def test_a_receiver_that_does_not_speak_tls_got_nothing() -> None:
    async with WebhookReceiver() as receiver:
        error = await failure(bridge(receiver.url.replace("http://", "https://")))
        assert isinstance(error, DeliveryRetryLater)
        assert receiver.calls == []


async def test_a_name_that_leads_into_a_private_network_is_not_called() -> None:
    async with WebhookReceiver() as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        # This host's own name resolves to loopback: a stranger's DNS could do the same.
        url = f"http://{socket.gethostname()}:{port}/cb"
        error = await failure(bridge(url, allow_http=True))
        assert isinstance(error, DeliveryRetryLater)
        assert "allow_private" in error.why
        assert receiver.calls == []


async def test_the_bridge_is_connected_until_it_is_cancelled_and_still_sends_afterwards() -> None:
    async with WebhookReceiver() as receiver:
        sender = bridge(receiver.url)
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            run = group.create_task(sender.run(MemoryInbox(), ready.set))
            await ready.wait()
            run.cancel()
        await sender.send(REPLY)
        assert len(receiver.calls) == 1
    assert not sender.capabilities.marks_repeats


async def test_a_probe_asks_without_sending_a_message() -> None:
    async with WebhookReceiver() as receiver:
        sender = bridge(receiver.url)
        assert isinstance(sender, ProbeBridge)
        assert "answers (HTTP 200)" in await sender.probe()
        assert [call.method for call in receiver.calls] == ["HEAD"]
    with pytest.raises(BridgeError):
        await sender.probe()
    assert "no callback_url" in await bridge(None).probe()


async def test_neither_secret_nor_signature_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=500))
        error = await failure(bridge(receiver.url))
        logged = caplog.text + str(error) + repr(error.__cause__)
        assert SECRET not in logged
        assert receiver.calls[0].headers["webhook-signature"] not in logged


async def test_an_own_certificate_authority_is_trusted_and_a_foreign_one_is_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("tls")
    made = await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        capture_output=True,
        check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("openssl is not installed")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    seen: list[str] = []

    async def take(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(request.headers["webhook-id"])
        return aiohttp.web.Response()

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(take))  # type: ignore[arg-type]
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://localhost:{runner.addresses[0][1]}/"
    try:
        assert isinstance(await failure(bridge(url)), DeliveryRetryLater)
        assert seen == []
        await bridge(url, network=NetworkConfig(ca_file=str(folder / "cert.pem"))).send(REPLY)
        assert seen == ["msg_i7-12"]
    finally:
        await runner.cleanup()


async def test_the_receiver_runs_as_a_process_of_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.webhook_receiver", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(50):
            line = (await process.stdout.readline()).decode()
        url = line.split('"')[3]
        base = url.removesuffix("/callback")
        async with aiohttp.ClientSession() as session:
            planned = {"faults": [{"kind": "status", "status": 500}]}
            async with session.post(f"{base}/_control/faults", json=planned) as response:
                assert await response.json() == {"planned": 1}
            assert isinstance(await failure(bridge(url)), DeliveryUnknown)
            await bridge(url).send(REPLY)
            async with session.get(f"{base}/_control/calls") as response:
                calls = (await response.json())["calls"]
        assert [(call["verified"], call["repeat"]) for call in calls] == [(True, False), (True, False)]
    finally:
        process.kill()
        await process.wait()
