"""Events of turns as signed calls: what is told to whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from standardwebhooks import Webhook

from clawd.config.schema import AccessConfig
from clawd.errors import ModelUnavailable
from clawd.messages import Address
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.callbacks import app, gateway, look, say, state
from tests.fakes.inner import Inner
from tests.fakes.tools import AskingTool, call
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver
from tests.fakes.webhook_sender import ROTATED

OPEN_TO_TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")


async def test_the_end_of_a_turn_is_told_to_the_url_of_its_message(state_dir: Path) -> None:
    async with (
        WebhookReceiver() as receiver,
        Inner(state_dir, model=ScriptedModel("你好"), gateway=gateway(receiver)) as inner,
    ):
        turn = await say(inner, receiver.url)
        (call,) = await receiver.wait_for(1)
        delivery = await state(inner, turn, "sent")
        assert call.verified
        assert call.headers["user-agent"] == "clawd/1"
        assert call.id == "msg_" + delivery.id.removeprefix("delivery:")
        assert call.event["type"] == "message.reply"
        assert call.event["data"] == {
            "conversation": "order-42",
            "in_reply_to": turn,
            "turn": turn,
            "seq": 1,
            "status": "answered",
            "text": "你好",
            "attachments": [],
            "final": True,
        }
        assert delivery.conversation == Address(bridge="api", account="shop", chat="order-42")


async def test_without_a_url_and_an_app_nothing_is_written(state_dir: Path) -> None:
    async with Inner(state_dir, model=ScriptedModel("hello")) as inner:
        turn = await say(inner)
        await inner.ended(turn)
        assert (await inner.views.trace(turn)).deliveries == ()


@pytest.mark.parametrize("secrets", [SECRET, [ROTATED, SECRET]])
async def test_every_secret_signs(state_dir: Path, secrets: object) -> None:
    async with (
        WebhookReceiver() as receiver,
        Inner(state_dir, model=ScriptedModel("a"), gateway=gateway(receiver, secret=secrets)) as inner,
    ):
        await say(inner, receiver.url)
        (call,) = await receiver.wait_for(1)
        assert call.verified
        if isinstance(secrets, list):
            assert Webhook(ROTATED).verify(call.body, dict(call.headers))


async def test_a_turn_that_fails_is_told_too(state_dir: Path) -> None:
    model = ScriptedModel(ModelUnavailable("scripted", "down"))
    async with (
        WebhookReceiver() as receiver,
        Inner(state_dir, model=model, gateway=gateway(receiver)) as inner,
    ):
        turn = await say(inner, receiver.url)
        (call,) = await receiver.wait_for(1)
        assert (call.event["type"], call.event["data"]["status"]) == ("message.failed", "failed")
        assert call.event["data"]["text"] == (await inner.ended(turn)).answer


async def test_what_happens_in_one_conversation_is_told_in_order(state_dir: Path) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=503))
        async with Inner(
            state_dir, model=ScriptedModel("a", "b"), clock=clock, gateway=gateway(receiver)
        ) as inner:
            first = await say(inner, receiver.url)
            await state(inner, first, "pending", 1)
            second = await say(inner, receiver.url)
            await inner.ended(second)
            assert (await state(inner, second, "pending")).attempt == 0
            await look(inner, clock, 7)
            await state(inner, second, "sent")
            assert [call.event["data"]["text"] for call in receiver.calls] == ["a", "a", "b"]


async def test_an_app_is_told_of_its_conversations_and_no_other(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver:
        shop = app(receiver.url, "message", "done", "failed", "approval")
        model = ScriptedModel("hello", ModelUnavailable("scripted", "down"), "c")
        async with Inner(state_dir, model=model, gateway=shop) as inner:
            first = await say(inner)
            await inner.settled()
            second = await say(inner, text="again")
            await inner.settled()
            await inner.ask("not for the app")
            calls = receiver.calls
            assert all(call.verified for call in calls)
            assert [(call.event["type"], call.event["data"]["turn"]) for call in calls] == [
                ("message.received", first),
                ("message.reply", first),
                ("message.received", second),
                ("message.failed", second),
            ]
            assert calls[0].event["data"]["text"] == "hi"
            assert calls[0].event["data"]["sender"] == "shop/ann"
            assert len({call.id for call in calls}) == 4


async def test_an_app_hears_of_the_events_it_chose_only(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver:
        model = ScriptedModel("hello", ModelUnavailable("scripted", "down"))
        async with Inner(state_dir, model=model, gateway=app(receiver.url, "failed")) as inner:
            await inner.ended(await say(inner))
            await inner.ended(await say(inner))
            await inner.settled()
            assert [call.event["type"] for call in receiver.calls] == ["message.failed"]


async def test_an_event_that_is_given_up_takes_no_later_one_along(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver, WebhookReceiver() as shop:
        receiver.fault(Fault(status=410))
        both = gateway(receiver).model_copy(update={"apps": app(shop.url).apps})
        async with Inner(state_dir, model=ScriptedModel("a"), gateway=both) as inner:
            turn = await say(inner, receiver.url)
            await shop.wait_for(1)
            await inner.settled()
            assert [d.state for d in (await inner.views.trace(turn)).deliveries] == ["dead", "sent"]


async def test_a_url_that_is_allowed_no_more_is_not_called(state_dir: Path) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=500))
        async with Inner(
            state_dir, model=ScriptedModel("a"), clock=clock, gateway=gateway(receiver)
        ) as inner:
            turn = await say(inner, receiver.url)
            await state(inner, turn, "pending", 1)
            inner.gateway = gateway()
            inner.configure()
            await look(inner, clock, 7)
            assert "not on the list" in (await state(inner, turn, "dead")).why
            assert len(receiver.calls) == 1


async def test_a_conversation_is_erased_with_what_was_to_be_told_of_it(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=500))
        async with Inner(state_dir, model=ScriptedModel("a"), gateway=gateway(receiver)) as inner:
            turn = await say(inner, receiver.url)
            await state(inner, turn, "pending", 1)
            await inner.admin.delete(Address(bridge="api", account="shop", chat="order-42"))
            assert (await inner.views.stats()).deliveries_open == 0


async def test_a_question_to_a_person_is_told_to_the_app_and_not_to_the_messages_url(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver, WebhookReceiver() as shop:
        both = gateway(receiver).model_copy(update={"apps": app(shop.url).apps})
        model = ScriptedModel([call(arguments='{"line": "git push"}')], "As you like.")
        async with Inner(
            state_dir, model=model, tools=[AskingTool()], access=OPEN_TO_TOOLS, gateway=both
        ) as inner:
            turn = await say(inner, receiver.url)
            (asked,) = await shop.wait_for(1)
            (question,) = await inner.views.questions()
            assert asked.event["type"] == "approval.requested"
            told = asked.event["data"]
            assert (told["approval"], told["turn"], told["status"]) == (question.id, turn, "waiting")
            assert (told["tool"], told["subject"], told["about"]) == ("act", "git push", "approval")
            second = await say(inner, f"{receiver.url}?second", text="rather not")
            await inner.settled()
            assert second != turn
            assert [call.event["type"] for call in shop.calls] == ["approval.requested", "message.reply"]
            assert [call.path for call in receiver.calls] == ["/callback", "/callback?second"], (
                "a message that became part of another's turn is answered too"
            )
            assert {call.event["data"]["turn"] for call in receiver.calls} == {turn}
