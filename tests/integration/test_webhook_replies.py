"""Replies to Slack, Feishu, DingTalk and services of any shape: what goes out, and what each answer means."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from bridges.webhook import PLUGIN, WebhookConfig
from clawd.bridge import HttpBridge, ProbeBridge
from clawd.conformance import MemoryInbox
from clawd.errors import (
    BridgeAuthError,
    BridgeNotReady,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)
from clawd.ids import DeliveryId
from clawd.messages import Address, OutboundMessage
from clawd.testing import ManualClock
from tests.fakes import hook_senders as senders
from tests.fakes.bridge_context import bridge_context
from tests.fakes.chat_services import APP_SECRET, ROBOT_SECRET, SLACK_TOKEN, ChatServices, Plan
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver
from tests.fakes.webhook_sender import request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clawd.bridge import Bridge


@pytest.fixture
async def services() -> AsyncIterator[ChatServices]:
    async with ChatServices() as running:
        yield running


def bridge(clock: ManualClock | None = None, **section: Any) -> Bridge:
    config = WebhookConfig.model_validate({"secret": "a-secret-of-enough-characters"} | section)
    return PLUGIN.create(bridge_context("hook", clock=clock or ManualClock(), version="1.2"), config)


def reply(text: str = "hello", *, number: int = 1, chat: str = "C1", **fields: Any) -> OutboundMessage:
    address = Address(bridge="hook", account="a", chat=chat, thread=fields.pop("thread", None))
    return OutboundMessage(
        id=DeliveryId(f"delivery:i7-{number}"),
        address=address,
        text=text,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        **fields,
    )


@asynccontextmanager
async def running(bridge: Bridge, inbox: MemoryInbox) -> AsyncIterator[None]:
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bridge.run(inbox, ready.set))
        async with asyncio.timeout(20):
            await ready.wait()
        yield
        task.cancel()


# --- Slack --------------------------------------------------------------------------------------------------


def slack(services: ChatServices, **section: Any) -> Bridge:
    api = {"preset": "slack", "api_base": f"{services.url}/slack", "reply_token": SLACK_TOKEN}
    return bridge(**api | section)


async def test_a_reply_goes_into_the_thread_of_its_conversation_in_slack(services: ChatServices) -> None:
    await slack(services).send(reply("**bold**", thread="1.2"))
    await slack(services).send(reply("<!channel> and <!subteam^S1|@ops>: hi", number=2))
    assert [(s.chat, s.text, s.thread) for s in services.sent] == [
        ("C1", "**bold**", "1.2"),
        ("C1", "@channel and @subteam: hi", None),
    ]


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (
            Plan(answer={"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "7"}),
            DeliveryRetryLater,
        ),
        (Plan(answer={"ok": False, "error": "token_revoked"}), DeliveryUnauthorized),
        (Plan(answer={"ok": False, "error": "channel_not_found"}), DeliveryRejected),
        (Plan(answer={"ok": False, "error": "something_new"}), DeliveryRejected),
        (Plan(answer={"ok": False, "error": "internal_error"}), DeliveryUnknown),
        (Plan(answer={"ok": True}, status=500), DeliveryUnknown),
        (Plan(fault="html"), DeliveryUnknown),
        (Plan(fault="reset"), DeliveryUnknown),
    ],
)
async def test_what_slack_answers_has_its_meaning(
    services: ChatServices, plan: Plan, error: type[Exception]
) -> None:
    services.plan(plan)
    with pytest.raises(error) as caught:
        await slack(services).send(reply())
    if isinstance(caught.value, DeliveryRetryLater):
        assert caught.value.retry_after_s == 7
    assert SLACK_TOKEN not in str(caught.value)


async def test_slack_is_asked_whether_the_token_is_good_before_anything_is_sent(
    services: ChatServices,
) -> None:
    asked = slack(services)
    assert isinstance(asked, ProbeBridge)
    assert "Slack knows the bot clawd in Team" in await asked.probe()
    with pytest.raises(BridgeAuthError) as caught:
        await slack(services, reply_token="xoxb-another").run(MemoryInbox(), lambda: None)
    assert "xoxb-another" not in str(caught.value)
    services.down = True
    with pytest.raises(BridgeNotReady):
        await slack(services).run(MemoryInbox(), lambda: None)


async def test_without_a_token_slack_is_answered_by_its_incoming_webhook(services: ChatServices) -> None:
    hook = bridge(preset="slack", callback_url=f"{services.url}/slack/hook")
    await hook.send(reply("a < b & <!here>"))
    assert services.sent[0].text == "a &lt; b &amp; &lt;!here&gt;"


# --- Feishu -------------------------------------------------------------------------------------------------


def feishu(services: ChatServices, clock: ManualClock | None = None, **section: Any) -> Bridge:
    api = {"preset": "feishu", "api_base": services.url, "app_id": "cli_x", "app_secret": APP_SECRET}
    return bridge(clock, **api | section)


async def test_feishu_is_answered_as_a_reply_or_else_in_the_chat(services: ChatServices) -> None:
    app = feishu(services)
    await app.send(reply("你好", reference="om_1", thread="omt_1"))
    await app.send(reply('<at user_id="all">x</at>', number=2, chat="oc_1"))
    first, second = services.sent
    assert (first.text, first.reply_to, first.thread) == ("你好", "om_1", "thread")
    assert (second.chat, second.reply_to) == ("oc_1", None)
    assert "<at " not in second.text
    services.plan(Plan(answer={"code": 230011, "msg": "withdrawn"}, status=400))
    await app.send(reply("late", number=3, chat="oc_1", reference="om_2"))
    assert (services.sent[2].chat, services.sent[2].reply_to) == ("oc_1", None)


async def test_a_repeat_carries_the_same_key_so_that_feishu_shows_it_once(services: ChatServices) -> None:
    app = feishu(services)
    services.plan(Plan(fault="reset", taken=True))
    with pytest.raises(DeliveryUnknown):
        await app.send(reply("once", chat="oc_1"))
    await app.send(reply("once", chat="oc_1"))
    await app.send(reply("other", chat="oc_1", number=2))
    assert [sent.text for sent in services.sent] == ["once", "other"]


async def test_many_who_need_a_token_ask_for_one(services: ChatServices) -> None:
    app = feishu(services)
    services.token_may_go = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(app.send(reply(str(number), number=number, chat="oc_1")))
        await services.token_asked.wait()
        services.token_may_go.set()
    assert len(services.sent) == 10
    assert services.tokens == 1


async def test_a_token_that_is_over_is_renewed_once_and_the_message_sent(services: ChatServices) -> None:
    clock = ManualClock()
    app = feishu(services, clock)
    await app.send(reply("a", chat="oc_1"))
    services.expire_token()
    async with asyncio.TaskGroup() as tasks:
        for number in range(2, 7):
            tasks.create_task(app.send(reply(str(number), number=number, chat="oc_1")))
    assert len(services.sent) == 6
    asked = [path for path, _ in services.calls if "tenant_access_token" in path]
    assert len(asked) == 2
    await clock.advance(7200)
    await app.send(reply("b", number=9, chat="oc_1"))
    assert len([path for path, _ in services.calls if "tenant_access_token" in path]) == 3


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (Plan(answer={"code": 99991400}, status=400), DeliveryRetryLater),
        (Plan(answer={"code": 11, "msg": "x"}, status=429), DeliveryRetryLater),
        (Plan(answer={"code": 230020}, status=400), DeliveryRetryLater),
        (Plan(answer={"code": 230002}, status=400), DeliveryRejected),
        (Plan(answer={"code": 230001}, status=400), DeliveryRejected),
        (Plan(answer={"code": 1}, status=500), DeliveryUnknown),
        (Plan(fault="html"), DeliveryUnknown),
    ],
)
async def test_what_feishu_answers_has_its_meaning(
    services: ChatServices, plan: Plan, error: type[Exception]
) -> None:
    services.plan(plan)
    with pytest.raises(error):
        await feishu(services).send(reply(chat="oc_1"))


async def test_without_a_token_nothing_was_sent_to_feishu(services: ChatServices) -> None:
    services.down = True
    with pytest.raises(DeliveryRetryLater):
        await feishu(services).send(reply(chat="oc_1"))
    with pytest.raises(BridgeNotReady):
        await feishu(services).run(MemoryInbox(), lambda: None)
    services.down = False
    with pytest.raises(DeliveryUnauthorized) as caught:
        await feishu(services, app_secret="another-secret").send(reply(chat="oc_1"))
    with pytest.raises(BridgeAuthError):
        await feishu(services, app_secret="another-secret").run(MemoryInbox(), lambda: None)
    assert "another-secret" not in str(caught.value)


async def test_a_custom_bot_of_feishu_is_sent_signed_texts(services: ChatServices) -> None:
    url = f"{services.url}/open-apis/bot/v2/hook/k"
    robot = bridge(preset="feishu", callback_url=url, callback_secret=ROBOT_SECRET)
    await robot.send(reply("hello"))
    assert services.sent[0].text == "hello"
    with pytest.raises(DeliveryRetryLater):
        await bridge(preset="feishu", callback_url=url, callback_secret="not the secret of it").send(reply())


# --- DingTalk -----------------------------------------------------------------------------------------------


class Robot:
    """A robot of DingTalk at work."""

    def __init__(self, services: ChatServices, **section: Any) -> None:
        self.clock = ManualClock()
        self.inbox = MemoryInbox()
        self.services = services
        self.bridge = bridge(
            self.clock,
            preset="dingtalk",
            secret=senders.DINGTALK,
            api_base=services.url,
            **section,
        )

    async def hear(self, message_id: str = "m1", *, life_s: int = 5400) -> None:
        until = self.clock.now() + timedelta(seconds=life_s)
        body = senders.packed(
            senders.dingtalk_message(
                message_id=message_id,
                sessionWebhook=f"{self.services.url}/robot/sendBySession?session={message_id}",
                sessionWebhookExpiredTime=int(until.timestamp() * 1000),
            )
        )
        assert isinstance(self.bridge, HttpBridge)
        answer = await self.bridge.handle(request(body, senders.dingtalk(self.clock.now())), self.inbox)
        assert (answer.status, json.loads(answer.body)["status"]) == (200, "accepted")


async def test_dingtalk_is_answered_where_the_last_message_said_also_after_a_restart(
    services: ChatServices,
) -> None:
    robot = Robot(services)
    await robot.hear("m1")
    await robot.hear("m2")
    again = Robot(services)
    again.inbox = robot.inbox  # what was committed
    async with running(again.bridge, again.inbox):
        await again.bridge.send(reply("**hello**", chat="cid_1"))
    assert [(sent.chat, sent.text) for sent in services.sent] == [("m2", "**hello**")]


async def test_a_chat_of_dingtalk_whose_time_is_over_waits_for_the_next_message(
    services: ChatServices,
) -> None:
    robot = Robot(services)
    async with running(robot.bridge, robot.inbox):
        with pytest.raises(DeliveryParked):
            await robot.bridge.send(reply(chat="cid_1"))
        await robot.hear("m1", life_s=60)
        await robot.clock.advance(61)
        with pytest.raises(DeliveryParked):
            await robot.bridge.send(reply(chat="cid_1"))
        await robot.hear("m2")
        await robot.bridge.send(reply(chat="cid_1"))
    assert [sent.chat for sent in services.sent] == ["m2"]


async def test_a_custom_robot_of_dingtalk_takes_what_can_not_be_answered_otherwise(
    services: ChatServices,
) -> None:
    url = f"{services.url}/robot/send?access_token=t"
    robot = Robot(services, callback_url=url, callback_secret=ROBOT_SECRET)
    async with running(robot.bridge, robot.inbox):
        await robot.bridge.send(reply("a", chat="cid_9"))
    assert [(sent.chat, sent.text) for sent in services.sent] == [("robot", "a")]


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (Plan(answer={"errcode": 130101, "errmsg": "too fast"}), DeliveryRetryLater),
        (Plan(answer={"errcode": 310000}), DeliveryRejected),
        (Plan(answer={"errcode": -1}), DeliveryUnknown),
        (Plan(fault="html"), DeliveryUnknown),
        (Plan(fault="reset"), DeliveryUnknown),
    ],
)
async def test_what_dingtalk_answers_has_its_meaning(
    services: ChatServices, plan: Plan, error: type[Exception]
) -> None:
    robot = Robot(services)
    async with running(robot.bridge, robot.inbox):
        await robot.hear()
        services.plan(plan)
        with pytest.raises(error):
            await robot.bridge.send(reply(chat="cid_1"))


# --- any other service --------------------------------------------------------------------------------------


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver() as here:
        yield here


def templated(receiver: WebhookReceiver, **fields: Any) -> Bridge:
    base = receiver.url.removesuffix("/callback")
    return bridge(
        preset="bearer", reply={"url": f"{base}/rooms/{{conversation}}", "body": {"t": "{text}"}} | fields
    )


async def test_a_reply_has_the_shape_the_method_and_the_headers_of_the_configuration(
    receiver: WebhookReceiver,
) -> None:
    shaped = templated(
        receiver,
        method="PUT",
        headers={"X-Key": "k-1", "X-Txn": "{id}"},
        body={"message": "{text}", "n": "{seq}", "tags": ["clawd", "{type}"]},
    )
    await shaped.send(reply('say "hi"\n', chat="!a b:x", seq=4))
    (call,) = receiver.calls
    assert (call.method, call.path) == ("PUT", "/rooms/!a%20b:x")
    assert json.loads(call.body) == {"message": 'say "hi"\n', "n": 4, "tags": ["clawd", "message.reply"]}
    assert (call.headers["x-key"], call.headers["x-txn"]) == ("k-1", "msg_i7-1")
    assert "webhook-signature" not in call.headers


async def test_a_reply_can_be_a_form(receiver: WebhookReceiver) -> None:
    shaped = templated(
        receiver, content_type="form", body={"text": "{text}", "n": "{seq}", "re": "{in_reply_to}"}
    )
    await shaped.send(reply("a&b=c 你", seq=4))
    (call,) = receiver.calls
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(call.body.decode(), keep_blank_values=True) == {
        "text": ["a&b=c 你"],
        "n": ["4"],
        "re": [""],
    }


async def test_a_reply_of_any_shape_is_signed_where_there_is_a_secret_for_it(
    receiver: WebhookReceiver,
) -> None:
    signing = bridge(
        preset="bearer",
        callback_url=receiver.url,
        callback_secret=SECRET,
        reply={"body": ["{text}"]},
    )
    await signing.send(reply())
    (call,) = receiver.calls
    assert call.headers["webhook-id"] == "msg_i7-1"


async def test_a_conversation_that_would_lead_elsewhere_is_refused(receiver: WebhookReceiver) -> None:
    with pytest.raises(DeliveryRejected, match=r"reply\.url"):
        await templated(receiver).send(reply(chat="../admin"))
    assert receiver.calls == []


async def test_what_the_service_answers_has_its_usual_meaning(receiver: WebhookReceiver) -> None:
    for status, error in ((400, DeliveryRejected), (429, DeliveryRetryLater), (500, DeliveryUnknown)):
        receiver.fault(Fault(status=status))
        with pytest.raises(error):
            await templated(receiver).send(reply())


def test_a_repeat_is_marked_unless_the_service_knows_it() -> None:
    plain = bridge(preset="bearer", reply={"url": "https://x.test/", "body": {}, "text_limit": 500})
    known = bridge(preset="bearer", reply={"url": "https://x.test/", "body": {}, "idempotent": True})
    assert (plain.capabilities.marks_repeats, plain.capabilities.text_limit) == (True, 500)
    assert not known.capabilities.marks_repeats
