"""Replies to WeChat: passive, by the customer-service API, kept until the person writes; and what fails."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bridges.wechat.references import reference_of
from clawd.conformance import MemoryInbox
from clawd.errors import (
    BridgeAuthError,
    BridgeError,
    BridgeNotReady,
    DeliveryError,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
    FileGone,
)
from clawd.ids import DeliveryId
from clawd.messages import Address, Audio, File, Image, OutboundMessage
from clawd.testing import ManualClock, MemoryArtifacts, ScriptedModel
from clawd.texts import say
from tests.fakes.bridge_context import bridge_context
from tests.fakes.wechat_api import APP_SECRET, Fault, WeChatApiFake
from tests.fakes.wechat_sender import APP_ID, USER, event, text
from tests.fakes.wechat_world import wechat_config, wechat_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from pathlib import Path

    from bridges.wechat.bridge import WeChatBridge
    from clawd.media import StoredFile

SEND = "message/custom/send"
PNG, AMR = b"\x89PNG\r\n\x1a\n picture", b"#!AMR\n voice"
MORE = say("wechat_more", "zh")
WORKING = say("wechat_working", "zh")


def bridge_for(
    fake: WeChatApiFake, *, clock: ManualClock | None = None, artifacts: Any = None, **section: Any
) -> WeChatBridge:
    from bridges.wechat.bridge import WeChatBridge

    given = {"api_base": fake.url, "app_secret": APP_SECRET, "request_timeout_s": 5}
    context = bridge_context("wechat", clock=clock or ManualClock(), artifacts=artifacts)
    return WeChatBridge(context, wechat_config(**(given | section)))


@pytest.fixture
async def fake() -> AsyncIterator[WeChatApiFake]:
    async with WeChatApiFake() as api:
        yield api


@pytest.fixture
async def bridge(fake: WeChatApiFake) -> AsyncIterator[WeChatBridge]:
    made = bridge_for(fake)
    yield made
    await made.close()


def outbound(words: str = "hi", number: int = 1, **fields: Any) -> OutboundMessage:
    clock = ManualClock()
    given = {"address": Address(bridge="wechat", account=APP_ID, chat=USER)} | fields
    return OutboundMessage(id=DeliveryId(f"delivery:t-{number}"), text=words, created_at=clock.now(), **given)


async def until_cancelled(bridge: WeChatBridge, inbox: MemoryInbox) -> int:
    """Run the bridge until it has nothing more to do; return how often it was ready."""
    ready = 0

    def count() -> None:
        nonlocal ready
        ready += 1

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bridge.run(inbox, count))
        for _ in range(500):
            await asyncio.sleep(0.002)
            if ready == 2 or task.done():
                break
        task.cancel()
    return ready


# --- by the API ------------------------------------------------------------------------------------------


async def test_fifty_sends_at_once_ask_for_one_token(fake: WeChatApiFake, bridge: WeChatBridge) -> None:
    people = [f"o{number}" for number in range(50)]
    async with asyncio.TaskGroup() as tasks:
        for number, person in enumerate(people):
            fake.wrote(person)
            address = Address(bridge="wechat", account=APP_ID, chat=person)
            tasks.create_task(bridge.send(outbound(number=number, address=address)))
    assert fake.counts() == {"stable_token": 1, SEND: 50}


@pytest.mark.parametrize("code", [40001, 40014, 42001])
async def test_a_refused_token_is_renewed_once_and_the_message_sent_once_more(
    fake: WeChatApiFake, bridge: WeChatBridge, code: int
) -> None:
    fake.wrote(USER)
    fake.fault(Fault(path=SEND, code=code))
    await bridge.send(outbound("hi"))
    assert (fake.texts, len(fake.of(SEND)), len(fake.of("stable_token"))) == (["hi"], 2, 3)
    fake.drop_tokens()
    await bridge.send(outbound("ho"))
    assert (fake.texts, len(fake.of(SEND)), len(fake.of("stable_token"))) == (["hi", "ho"], 4, 4)


async def test_a_token_that_is_refused_again_is_not_renewed_again(
    fake: WeChatApiFake, bridge: WeChatBridge
) -> None:
    fake.wrote(USER)
    fake.fault(*[Fault(path=SEND, code=40001)] * 2)
    with pytest.raises(DeliveryRetryLater) as caught:
        await bridge.send(outbound())
    assert caught.value.retry_after_s == 60
    assert len(fake.of(SEND)) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(path=SEND, code=-1), DeliveryRetryLater),
        (Fault(path=SEND, code=45009), DeliveryRetryLater),
        (Fault(path=SEND, code=45011), DeliveryRetryLater),
        (Fault(path=SEND, code=45015), DeliveryParked),
        (Fault(path=SEND, code=45047), DeliveryParked),
        (Fault(path=SEND, code=43004), DeliveryParked),
        (Fault(path=SEND, code=40003), DeliveryRejected),
        (Fault(path=SEND, code=48002), DeliveryRejected),
        (Fault(path=SEND, code=50002), DeliveryRejected),
        (Fault(path=SEND, code=40013), DeliveryUnauthorized),
        (Fault(path=SEND, kind="html"), DeliveryUnknown),
        (Fault(path=SEND, kind="html", status=200), DeliveryUnknown),
        (Fault(path=SEND, kind="status", status=500), DeliveryUnknown),
        (Fault(path=SEND, kind="reset"), DeliveryUnknown),
        (Fault(path="stable_token", kind="html"), DeliveryRetryLater),
        (Fault(path="stable_token", kind="reset"), DeliveryRetryLater),
        (Fault(path="stable_token", code=-1), DeliveryRetryLater),
        (Fault(path="stable_token", code=40164), DeliveryUnauthorized),
        (Fault(path="stable_token", code=40125), DeliveryUnauthorized),
    ],
)
async def test_each_failure_is_what_the_outbox_has_to_know(
    fake: WeChatApiFake, bridge: WeChatBridge, fault: Fault, kind: type[DeliveryError]
) -> None:
    fake.wrote(USER)
    fake.fault(fault)
    with pytest.raises(DeliveryError) as caught:
        await bridge.send(outbound())
    assert type(caught.value) is kind
    assert "ttttt" not in str(caught.value)


@pytest.mark.parametrize("path", [SEND, "stable_token"])
async def test_an_api_that_hangs_is_given_up(fake: WeChatApiFake, path: str) -> None:
    bridge = bridge_for(fake, request_timeout_s=0.2)
    fake.wrote(USER)
    fake.fault(Fault(path=path, kind="hang"))
    kind = DeliveryUnknown if path == SEND else DeliveryRetryLater
    with pytest.raises(kind):
        await bridge.send(outbound())
    await bridge.close()


async def test_an_api_that_is_not_there_has_surely_sent_nothing(fake: WeChatApiFake) -> None:
    bridge = bridge_for(fake, api_base="http://127.0.0.1:9")
    with pytest.raises(DeliveryRetryLater):
        await bridge.send(outbound())
    await bridge.close()


async def test_a_text_that_is_called_too_long_is_sent_in_smaller_pieces(
    fake: WeChatApiFake, bridge: WeChatBridge
) -> None:
    fake.wrote(USER)
    fake.fault(Fault(path=SEND, code=45002))
    await bridge.send(outbound("你" * 600))
    assert "".join(fake.texts) == "你" * 600
    assert len(fake.texts) == 2


async def test_a_message_that_wechat_knows_already_is_sent(fake: WeChatApiFake, bridge: WeChatBridge) -> None:
    fake.wrote(USER)
    fake.fault(Fault(path=SEND, code=45065))
    await bridge.send(outbound())


async def test_what_is_left_of_a_long_text_goes_on_where_it_stopped(
    fake: WeChatApiFake, bridge: WeChatBridge
) -> None:
    fake.wrote(USER)
    message = outbound("".join(f"{number:05d}" for number in range(3000)))
    with pytest.raises(DeliveryParked):
        await bridge.send(message)
    assert len(fake.texts) == 5
    assert fake.texts[-1].endswith(MORE), "the last one that is allowed says how to get the rest"
    fake.wrote(USER)
    await bridge.send(replace(message, text=f"(may be a repeat)\n{message.text}", repeated=True))
    assert fake.texts[5].startswith("(may be a repeat)\n")
    whole = "".join(fake.texts).replace(f"\n{MORE}", "").replace("(may be a repeat)\n", "")
    assert whole == message.text


async def test_no_token_is_ever_in_a_log_or_an_error(
    fake: WeChatApiFake, bridge: WeChatBridge, caplog: pytest.LogCaptureFixture
) -> None:
    fake.wrote(USER)
    errors = []
    with caplog.at_level(logging.DEBUG):
        for fault in (Fault(path=SEND, kind="reset"), Fault(path=SEND, kind="html"), None):
            if fault is not None:
                fake.fault(fault)
            else:
                fake.fault(*[Fault(path=SEND, code=40001)] * 2)
            with pytest.raises(DeliveryError) as caught:
                await bridge.send(outbound())
            errors.append(caught.value)
            logging.getLogger("test").error("failed", exc_info=caught.value)
    told = caplog.text + "".join(map(str, errors))
    assert "TOKEN-" not in told
    assert APP_SECRET not in told


async def test_another_accounts_address_is_refused(fake: WeChatApiFake, bridge: WeChatBridge) -> None:
    address = Address(bridge="wechat", account="wxother", chat=USER)
    with pytest.raises(DeliveryRejected):
        await bridge.send(outbound(address=address))
    with pytest.raises(DeliveryRejected):
        await bridge.send(outbound(" "))


async def test_typing_is_shown_and_no_failure_of_it_matters(
    fake: WeChatApiFake, bridge: WeChatBridge
) -> None:
    await bridge.working(outbound().address)
    fake.fault(Fault(path="message/custom/typing", kind="reset"))
    await bridge.working(outbound().address)
    assert len(fake.of("message/custom/typing")) == 2


# --- the account -----------------------------------------------------------------------------------------


MENU: list[dict[str, Any]] = [{"name": "新对话", "text": "/new"}]


async def test_a_menu_is_made_only_when_it_is_another_one(fake: WeChatApiFake) -> None:
    inbox = MemoryInbox()
    for menu in (MENU, MENU, [{"name": "帮助", "text": "/help"}], [], []):
        bridge = bridge_for(fake, menu=menu)
        assert await until_cancelled(bridge, inbox) == 2
        await bridge.close()
    assert (len(fake.of("menu/create")), len(fake.of("menu/delete"))) == (2, 1)
    assert fake.menu is None


async def test_a_menu_that_wechat_refuses_stops_nothing(fake: WeChatApiFake) -> None:
    bridge = bridge_for(fake, menu=[{"name": "much too long a name", "text": "/new"}])
    inbox = MemoryInbox()
    assert await until_cancelled(bridge, inbox) == 2
    assert inbox.cursors == {}
    await bridge.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(path="stable_token", code=40164), BridgeAuthError),
        (Fault(path="stable_token", code=40125), BridgeAuthError),
        (Fault(path="stable_token", code=-1), BridgeNotReady),
        (Fault(path="stable_token", kind="html"), BridgeNotReady),
    ],
)
async def test_a_bridge_without_a_token_says_why(
    fake: WeChatApiFake, bridge: WeChatBridge, fault: Fault, kind: type[BridgeError]
) -> None:
    for attempt in (bridge.run(MemoryInbox(), lambda: None), bridge.probe()):
        fake.fault(fault)
        with pytest.raises(kind):
            await attempt
    assert APP_ID in await bridge.probe()


# --- files -----------------------------------------------------------------------------------------------


async def content(*pieces: bytes) -> AsyncIterable[bytes]:
    for piece in pieces:
        yield piece


async def stored(files: MemoryArtifacts, raw: bytes, mime: str) -> StoredFile:
    return await files.put(content(raw), max_bytes=50_000_000, mime=mime)


async def test_pictures_and_voices_go_out_behind_the_text_and_are_uploaded_once(fake: WeChatApiFake) -> None:
    files = MemoryArtifacts()
    picture, voice = await stored(files, PNG, "image/png"), await stored(files, AMR, "audio/amr")
    bridge = bridge_for(fake, artifacts=files)
    fake.wrote(USER)
    parts = (Image(ref=picture.ref, mime="image/png"), Audio(ref=voice.ref, mime="audio/amr"))
    await bridge.send(outbound("look", files=parts))
    await bridge.send(outbound("again", 2, files=parts[:1]))
    assert [call.json["msgtype"] for call in fake.sent] == ["text", "image", "voice", "text", "image"]
    assert [kind for kind, _ in fake.media.values()] == ["image", "voice"]
    assert [raw for _, raw in fake.media.values()] == [PNG, AMR]
    await bridge.close()


async def test_an_upload_that_wechat_has_forgotten_is_made_once_more(fake: WeChatApiFake) -> None:
    files = MemoryArtifacts()
    picture = await stored(files, PNG, "image/png")
    bridge = bridge_for(fake, artifacts=files)
    fake.wrote(USER)
    part = Image(ref=picture.ref, mime="image/png")
    await bridge.send(outbound("1", files=(part,)))
    fake.media["MEDIA-1"] = ("gone", b"")
    await bridge.send(outbound("2", 2, files=(part,)))
    assert [call.json.get("image") for call in fake.sent if "image" in call.json] == [
        {"media_id": "MEDIA-1"},
        {"media_id": "MEDIA-2"},
    ]
    await bridge.close()


async def test_a_file_that_fails_does_not_repeat_the_text(fake: WeChatApiFake) -> None:
    files = MemoryArtifacts()
    picture = await stored(files, PNG, "image/png")
    bridge = bridge_for(fake, artifacts=files)
    fake.wrote(USER)
    message = outbound("look", files=(Image(ref=picture.ref, mime="image/png"),))
    for fault in (Fault(path="media/upload", code=-1), Fault(path="media/upload", kind="html")):
        fake.fault(fault)
        with pytest.raises(DeliveryRetryLater):
            await bridge.send(message)
    await bridge.send(message)
    assert [call.json["msgtype"] for call in fake.sent] == ["text", "image"]
    await bridge.close()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"RIFF....WEBP", Image),
        (PNG.ljust(10_000_001), Image),
        (AMR.ljust(2_000_001), Audio),
        (b"OggS", Audio),
        (PNG, Audio),
        (PNG, File),
    ],
)
async def test_what_wechat_does_not_take_is_refused_before_it_is_sent(
    fake: WeChatApiFake, raw: bytes, kind: type[Image] | type[Audio] | type[File]
) -> None:
    files = MemoryArtifacts()
    file = await stored(files, raw, "image/png")
    bridge = bridge_for(fake, artifacts=files)
    for part in (kind(ref=file.ref), kind(ref="artifact:gone")):
        with pytest.raises(DeliveryRejected):
            await bridge.send(outbound("", files=(part,)))
    assert fake.of("media/upload") == []
    await bridge.close()


async def read(bridge: WeChatBridge, part: Image | Audio | File) -> bytes:
    return b"".join([piece async for piece in bridge.fetch(part)])


async def test_files_that_people_send_are_fetched_by_their_id(
    fake: WeChatApiFake, bridge: WeChatBridge
) -> None:
    fake.media["M1"] = ("voice", b"amr" * 100_000)
    fake.media["V1"] = ("video", b"mp4" * 9)
    assert await read(bridge, Audio(ref=reference_of("M1"))) == b"amr" * 100_000
    fake.drop_tokens()
    assert await read(bridge, Audio(ref=reference_of("M1"))) == b"amr" * 100_000
    assert await read(bridge, File(ref=reference_of("V1"))) == b"mp4" * 9


async def test_a_file_that_is_gone_is_told_apart_from_one_that_comes_later(
    fake: WeChatApiFake, bridge: WeChatBridge
) -> None:
    for ref in (reference_of("M9"), "elsewhere:1"):
        with pytest.raises(FileGone):
            await read(bridge, Image(ref=ref))
    for fault in (Fault(path="media/get", code=-1), Fault(path="media/get", kind="html")):
        fake.fault(fault)
        with pytest.raises(BridgeNotReady):
            await read(bridge, Image(ref=reference_of("M1")))


async def test_a_picture_needs_no_right_but_only_comes_from_the_platforms_own_hosts(
    fake: WeChatApiFake,
) -> None:
    part = Image(ref=reference_of("M1", f"{fake.url}/pictures/cat"))
    bridge = bridge_for(fake, app_secret=None, picture_hosts=["127.0.0.1"])
    assert await read(bridge, part) == b"picture cat"
    await bridge.close()
    bridge = bridge_for(fake, app_secret=None)
    with pytest.raises(FileGone):
        await read(bridge, part)
    await bridge.close()


# --- kept until the person writes ------------------------------------------------------------------------


LONG = "".join(f"{number:05d}第" for number in range(1250))  # 10,000 bytes


async def test_a_long_answer_is_sent_as_far_as_the_quota_goes_and_the_rest_after_the_next_message(
    state_dir: Path,
) -> None:
    answer = "".join(chr(0x4E00 + number % 5000) for number in range(10_000))
    model = ScriptedModel(answer, "next")
    async with wechat_world(state_dir, model=model) as world:
        shown: list[str] = []
        rounds, more = 0, True
        while more:
            shown.append((await world.say("1" if shown else "tell me")).content or "")
            taken = len(world.api.texts)
            more = await world.kept_or_gone()
            assert len(world.api.texts) - taken <= 5
            shown += world.api.texts[taken:]
            rounds += 1
        await world.inner.settled()
        assert rounds == 3
        assert "".join(shown).replace(f"\n{MORE}", "") == answer
        assert all(len(part.encode()) <= 2047 for part in shown)
        assert len(model.requests) == 1, "1 fetches, and asks nobody"


async def test_a_passive_account_is_told_to_fetch_and_one_fetches_without_a_turn(state_dir: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate, "done"], "second")
    async with wechat_world(state_dir, model=model, api=False) as world:
        assert (await world.late(text("think"))).content == WORKING
        assert (await world.late(text("1"))).content == WORKING, "still in work: no turn of its own"
        gate.set()
        await world.kept(1)
        fetched = text("1")
        replies = [await world.post(fetched) for _ in range(2)]
        assert replies[0].content == "done"
        assert replies[0] == replies[1]
        await world.inner.settled()
        assert len(model.requests) == 1
        assert (await world.say("1")).content == "second", "with nothing to fetch it is a message"
        assert world.api.calls == []


async def test_a_passive_account_gets_a_long_answer_piece_by_piece(state_dir: Path) -> None:
    model = ScriptedModel(LONG)
    async with wechat_world(state_dir, model=model, api=False) as world:
        shown = [(await world.say("tell me")).content or ""]
        while shown[-1].endswith(MORE):
            await world.kept(1)
            shown.append((await world.say("1")).content or "")
        await world.inner.settled()
        assert len(shown) > 4
        assert "".join(shown).replace(f"\n{MORE}", "") == LONG
        assert all(len(part.encode()) <= 2047 for part in shown)
        assert len(model.requests) == 1


async def test_a_redelivery_gets_the_answer_that_was_kept_since(state_dir: Path) -> None:
    gate = asyncio.Event()
    async with wechat_world(state_dir, model=ScriptedModel([gate, "done"]), api=False) as world:
        message = text("think")
        assert (await world.late(message)).content == WORKING
        gate.set()
        await world.kept(1)
        await world.restart()
        assert (await world.post(message)).content == "done"
        await world.inner.settled()


async def test_what_is_kept_survives_a_restart_and_days(state_dir: Path) -> None:
    gate = asyncio.Event()
    async with wechat_world(state_dir, model=ScriptedModel([gate, LONG]), api=False) as world:
        assert (await world.late(text("think"))).content == WORKING
        gate.set()
        await world.kept(1)
        await world.restart()
        await world.clock.advance(3 * 86400)
        shown = [(await world.say("1")).content or ""]
        while shown[-1].endswith(MORE):
            await world.kept(1)
            shown.append((await world.say("1")).content or "")
        assert "".join(shown).replace(f"\n{MORE}", "") == LONG
        assert world.inner.hear == []


async def test_an_account_that_turns_out_to_have_no_right_answers_passively_from_then_on(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate, "done"], "quick")
    async with wechat_world(state_dir, model=model, verified=False, typing=False) as world:
        with caplog.at_level(logging.WARNING):
            assert (await world.late(text("think"))).body == b"success"
            gate.set()
            await world.kept(1)
            assert (await world.say("1")).content == "done"
            assert (await world.say("hi")).content == "quick"
        assert len(world.api.of(SEND)) == 1
        assert [r.message for r in caplog.records].count("wechat_passive_only") == 1


async def test_with_retries_wechat_is_let_ask_three_times_before_it_is_told_to_wait(state_dir: Path) -> None:
    gate = asyncio.Event()
    async with wechat_world(
        state_dir, model=ScriptedModel([gate, "done"]), api=False, use_retries=True
    ) as world:
        message = text("think")
        first = world.posting(message)
        await world.waits()
        await world.clock.advance(5)
        second = world.posting(message)
        await world.waits(2)
        await world.clock.advance(1)
        assert (await first).body == b"success", "to a connection that is gone"
        await world.clock.advance(4)
        third = world.posting(message)
        await world.waits(2)
        gate.set()
        assert (await third).content == "done"
        assert await second == await third
        await world.inner.settled()


async def test_a_command_is_answered_at_once_also_where_replies_are_passive(state_dir: Path) -> None:
    async with wechat_world(state_dir, api=False) as world:
        reply = await world.say("/help")
        assert "/new" in (reply.content or "")
        assert (await world.post(event("CLICK", key="/help"))).content == reply.content
