"""WeChat's callbacks: what is let in, what is refused, and what WeChat is told in its five seconds."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clawd.config.schema import AccessConfig
from clawd.conformance import MemoryInbox
from clawd.errors import InboxFull, JournalUnavailable
from clawd.testing import ScriptedModel
from clawd.texts import say
from tests.fakes.wechat_sender import USER, Reply, WeChatSender, event, http_request, signature, text, xml
from tests.fakes.wechat_world import wechat_world

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_verification_gives_back_the_echo_and_nothing_without_the_right_signature(
    state_dir: Path,
) -> None:
    async with wechat_world(state_dir) as world:
        request = world.sender.verification("echo-123")
        reply = await world.bridge.handle(request, world.inner.inbox)
        assert (reply.status, reply.body) == (200, b"echo-123")
        assert reply.content_type.startswith("text/plain")
        for name in ("signature", "timestamp", "nonce"):
            wrong = dict(request.query)
            last = wrong[name][-1]
            wrong[name] = wrong[name][:-1] + ("0" if last != "0" else "1")
            reply = await world.bridge.handle(replace(request, query=wrong), world.inner.inbox)
            assert (reply.status, reply.body) == (403, b""), name
        for echo in ("x" * 257, "", "a\nb", "é"):
            reply = await world.bridge.handle(world.sender.verification(echo), world.inner.inbox)
            assert (reply.status, reply.body) == (400, b"")


@pytest.mark.parametrize("safe", [False, True])
async def test_a_quick_answer_is_the_reply_to_the_callback(state_dir: Path, safe: bool) -> None:
    async with wechat_world(state_dir, model=ScriptedModel("**你好** 👋"), safe=safe) as world:
        reply = await world.say("hi")
        assert reply.status == 200
        assert reply.content == "你好 👋"
        assert (reply.body or b"").startswith(b"<xml><Encrypt>") is safe
        await world.inner.settled()
        assert world.api.sent == []


async def test_a_message_that_is_not_encrypted_is_refused_where_it_has_to_be(state_dir: Path) -> None:
    async with wechat_world(state_dir, safe=True) as world:
        inbox = MemoryInbox()
        plain = WeChatSender(world.clock)
        assert (await world.bridge.handle(plain.request(text("hi")), inbox)).status == 403
        claims = plain.request(text("hi"))
        claims = replace(claims, query={**claims.query, "encrypt_type": "raw"})
        assert (await world.bridge.handle(claims, inbox)).status == 403
        good = world.sender.request(text("hi"))
        for broken in (
            replace(good, query={k: v for k, v in good.query.items() if k != "msg_signature"}),
            replace(good, query={**good.query, "msg_signature": "0" * 40}),
            replace(good, body=good.body.replace(b"A", b"B")),
            replace(good, body=good.body.replace(b"Encrypt", b"Enc")),
        ):
            reply = await world.bridge.handle(broken, inbox)
            assert (reply.status, reply.body) == (403, b"")
        assert inbox.accepted == []


async def test_a_message_for_another_account_is_refused(state_dir: Path) -> None:
    async with wechat_world(state_dir, safe=True) as world:
        inbox = MemoryInbox()
        other = WeChatSender(world.clock, safe=True, app_id="wxother")
        assert (await world.bridge.handle(other.request(text("hi")), inbox)).status == 403
        assert inbox.accepted == []


async def test_a_plain_bridge_says_what_is_missing_when_the_account_encrypts(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with wechat_world(state_dir) as world:
        with caplog.at_level(logging.INFO):
            encrypted = WeChatSender(world.clock, safe=True).request(text("hi"))
            reply = await world.bridge.handle(encrypted, MemoryInbox())
        assert reply.status == 400
        assert any("set aes_key" in str(record.__dict__.get("why")) for record in caplog.records)


@pytest.mark.parametrize(("off_s", "status"), [(-600, 403), (-301, 403), (-299, 200), (299, 200), (301, 403)])
async def test_the_time_window_is_five_minutes_in_both_directions(
    state_dir: Path, off_s: float, status: int
) -> None:
    async with wechat_world(state_dir, reply_wait_s=0) as world:
        request = world.sender.request(text("hi"), off_s=off_s)
        assert (await world.bridge.handle(request, MemoryInbox())).status == status


async def test_a_captured_request_is_refused_after_ten_minutes_and_with_other_words_at_once(
    state_dir: Path,
) -> None:
    async with wechat_world(state_dir, reply_wait_s=0) as world:
        inbox = MemoryInbox()
        request = world.sender.request(text("hi", MsgId=1))
        assert (await world.bridge.handle(request, inbox)).status == 200
        forged = replace(request, body=text("delete everything", MsgId=2).encode())
        assert (await world.bridge.handle(forged, inbox)).status == 403
        assert (await world.bridge.handle(request, inbox)).status == 200, "the same again is a redelivery"
        world.clock.jump(600)
        assert (await world.bridge.handle(request, inbox)).status == 403
        assert [message.text for message in inbox.messages] == ["hi"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        "<xml><Content>你</Content></xml>".encode("gbk"),
        b'<!DOCTYPE xml [<!ENTITY a "x">]><xml><Content>&a;</Content></xml>',
        b"<xml>",
    ],
)
async def test_what_is_no_xml_is_refused_without_a_word(state_dir: Path, body: bytes) -> None:
    async with wechat_world(state_dir) as world:
        inbox = MemoryInbox()
        reply = await world.bridge.handle(replace(world.sender.request("x"), body=body), inbox)
        assert (reply.status, reply.body) == (400, b"")
        assert inbox.accepted == []


async def test_a_message_without_its_fields_is_kept_as_unreadable_and_not_sent_again(state_dir: Path) -> None:
    async with wechat_world(state_dir) as world:
        for _ in range(2):
            assert await world.post("<xml><MsgType>text</MsgType></xml>") == Reply(
                status=200, body=b"success"
            )
        (dead,) = await world.inner.views.dead()
        assert dead.bridge == "wechat"


async def test_what_is_not_for_us_is_answered_and_makes_no_turn(state_dir: Path) -> None:
    async with wechat_world(state_dir) as world:
        for message in (
            xml(kind="sticker"),
            text(""),
            event("unsubscribe"),
            event("VIEW"),
            event("LOCATION"),
        ):
            assert await world.post(message) == Reply(status=200, body=b"success")
        assert (await world.inner.views.stats()).queued == 0


async def test_whoever_follows_is_welcomed_in_the_same_breath(state_dir: Path) -> None:
    async with wechat_world(state_dir) as world:
        assert (await world.post(event("subscribe", key="qrscene_1"))).content == say("welcome", "zh")
    async with wechat_world(state_dir, welcome="欢迎光临", language="en") as world:
        replies = [await world.post(event("subscribe", created=1_767_268_900)) for _ in range(2)]
        assert replies[0].content == "欢迎光临"
        assert replies[0] == replies[1]


async def test_a_button_of_the_menu_says_its_words(state_dir: Path) -> None:
    async with wechat_world(state_dir, model=ScriptedModel("sunny")) as world:
        for _ in range(3):
            assert (await world.post(event("CLICK", key="weather?"))).content == "sunny"
        await world.inner.settled()
        assert len(world.inner.model.requests) == 1  # type: ignore[attr-defined]


async def test_what_a_voice_message_says_is_what_the_model_reads(state_dir: Path) -> None:
    model = ScriptedModel("晴天")
    async with wechat_world(state_dir, model=model) as world:
        voice = xml(kind="voice", MediaId="M1", Format="amr", Recognition="今天天气怎么样")
        assert (await world.post(voice)).content == "晴天"
        assert "今天天气怎么样" in str(model.requests[0].messages[-1])


async def test_strangers_get_a_code_once_and_silence_then(state_dir: Path) -> None:
    access = AccessConfig(default="pair", owners=("wechat:somebody",))
    async with wechat_world(state_dir, access=access) as world:
        first = await world.say("hello")
        assert "clawd pair approve" in (first.content or "")
        assert await world.late(text("hello?")) == Reply(status=200, body=b"success")


# --- the five seconds ------------------------------------------------------------------------------------


async def test_a_slow_answer_goes_out_by_the_api_and_wechat_is_not_kept_waiting(state_dir: Path) -> None:
    gate = asyncio.Event()
    async with wechat_world(state_dir, model=ScriptedModel([gate, "done"])) as world:
        assert await world.late(text("think")) == Reply(status=200, body=b"success")
        gate.set()
        await world.inner.settled()
        assert world.api.texts == ["done"]


async def test_one_message_four_times_at_once_is_one_turn_and_one_answer_to_all(state_dir: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate, "done"])
    async with wechat_world(state_dir, model=model, safe=True) as world:
        message = text("think")
        tries = [world.posting(message) for _ in range(4)]
        await world.waits(4)
        gate.set()
        replies = {await task for task in tries}
        assert len(replies) == 1
        assert replies.pop().content == "done"
        assert (await world.post(message)).content == "done", "and to who asks later"
        await world.inner.settled()
        assert len(model.requests) == 1
        assert world.api.sent == []


async def test_a_redelivery_waits_on_the_turn_that_is_in_work(state_dir: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate, "done"])
    async with wechat_world(state_dir, model=model) as world:
        message = text("think")
        assert (await world.late(message)).content is None
        again = world.posting(message)
        await world.waits()
        gate.set()
        assert (await again).content == "done"
        await world.inner.settled()
        assert (len(model.requests), world.api.sent) == (1, [])


async def test_a_redelivery_after_a_crash_gets_the_answer(state_dir: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate, "lost"], [gate, "done"])
    async with wechat_world(state_dir, model=model) as world:
        message = text("think")
        trying = world.posting(message)
        await world.waits()
        await model.asked()  # what is lost is this request
        await world.restart()
        again = world.posting(message)
        await world.waits()
        gate.set()
        assert (await again).content == "done"
        await world.inner.settled()
        assert world.api.sent == []
        trying.cancel()


@pytest.mark.parametrize("error", [JournalUnavailable("full", retry_after_s=1), InboxFull(9)])
async def test_what_can_not_be_kept_is_not_acknowledged(state_dir: Path, error: Exception) -> None:
    async with wechat_world(state_dir) as world:
        inbox = MemoryInbox()
        inbox.refuse(error)
        with pytest.raises(type(error)):
            await world.bridge.handle(world.sender.request(text("hi")), inbox)
        assert world.bridge._receiving._requests._open == {}


async def test_a_wrong_token_and_repeated_words_are_told_in_the_log_without_it(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with wechat_world(state_dir) as world:
        with caplog.at_level(logging.DEBUG):
            forged = WeChatSender(world.clock, token="othertoken").request(text("hi"))
            assert (await world.bridge.handle(forged, MemoryInbox())).status == 403
        assert "clawdtoken" not in caplog.text
        assert signature("clawdtoken", forged.query["timestamp"], forged.query["nonce"]) not in caplog.text


async def test_other_ways_to_ask_are_refused(state_dir: Path) -> None:
    async with wechat_world(state_dir) as world:
        for query in ({}, {"signature": "x"}, {"signature": "x" * 999, "timestamp": "1", "nonce": "2"}):
            for method in ("GET", "POST"):
                request = http_request(query, b"<xml></xml>", method=method)
                assert (await world.bridge.handle(request, MemoryInbox())).status == 403
        assert USER
