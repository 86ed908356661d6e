"""Beside the text of WeCom's answers: buttons under questions, and files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.messages import Image, Replied
from clawd.testing import ManualClock, MemoryArtifacts
from tests.fakes.wecom import USER, Running, asked, outbound, running, wecom_bridge
from tests.fakes.wecom_api import FakeWecom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWecom]:
    async with FakeWecom() as server:
        yield server


# --- questions --------------------------------------------------------------------------------------------

QUESTION = "approval:abcd1234-7-12-3"


async def test_a_question_comes_as_text_and_a_card_whose_buttons_die_with_it(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        it.it.inbox.answers[QUESTION] = Replied(text="Allowed.")
        await it.reply("May I run this with shell?\n```\nls\n```", question=QUESTION)
        text, card = wecom.messages(USER)
        assert text.text.startswith("May I run this")
        assert card.card is not None
        assert [b["text"] for b in card.card["button_list"]] == ["Yes", "Always", "No"]
        wecom.press(USER, card.card, "Always")
        await it.it.inbox.wait_for(2)
        await wecom.wait_until(lambda: wecom.frames("aibot_respond_update_msg"))
        assert [b["text"] for b in card.card["button_list"]] == ["Allowed."]
        assert wecom.frames("aibot_respond_update_msg")[0].outcome == "ok"
        wecom.press(USER, card.card, "Allowed.")
        wecom.user_says(USER, "and now?")
        await it.it.inbox.wait_for(3)
        assert len(it.it.inbox.messages) == 2


async def test_a_card_that_is_refused_costs_no_question(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        wecom.fault("aibot_send_msg", "errcode", errcode=40058)
        await it.reply("May I?", question=QUESTION)
        assert [m.kind for m in wecom.messages(USER)] == ["stream"]


async def test_the_card_of_a_repeated_question_is_another_one(wecom: FakeWecom) -> None:
    async with asked(wecom) as it:
        await it.reply("May I?", question=QUESTION)
        await it.reply("May I?", question=QUESTION)
        cards = [m.card["task_id"] for m in wecom.messages(USER) if m.card]
        assert len(set(cards)) == 2


# --- files ------------------------------------------------------------------------------------------------


async def stored(content: bytes, **about: Any) -> tuple[MemoryArtifacts, str]:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    artifacts = MemoryArtifacts()
    return artifacts, (await artifacts.put(pieces(), max_bytes=10**8, **about)).ref


@pytest.mark.parametrize(
    ("mime", "size", "kind"),
    [
        ("image/png", 1000, "image"),
        ("image/png", 11 * 1024 * 1024, "file"),
        ("image/webp", 1000, "file"),
        ("audio/amr", 1000, "voice"),
        ("application/pdf", 600_000, "file"),
    ],
)
async def test_a_file_goes_out_in_pieces_behind_its_text(
    wecom: FakeWecom, mime: str, size: int, kind: str
) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    artifacts, ref = await stored(content, mime=mime, name="../a b.bin")
    async with running(wecom_bridge(wecom.url, artifacts=artifacts)) as it:
        wecom.user_says(USER, "send it")
        await it.inbox.wait_for(1)
        await it.bridge.send(outbound("here", files=(Image(ref=ref),)))
        text, file = wecom.messages(USER)
        assert (text.text, file.kind, file.media) == ("here", kind, content)
        (begun,) = wecom.frames("aibot_upload_media_init")
        assert begun.body["filename"] == "a b.bin"
        indexes = [seen.body["chunk_index"] for seen in wecom.frames("aibot_upload_media_chunk")]
        assert indexes == list(range(-(-len(content) // (512 * 1024))))


@pytest.mark.parametrize(("refusals", "arrives"), [(2, True), (3, False)])
async def test_a_piece_that_is_refused_is_tried_twice_more(
    wecom: FakeWecom, refusals: int, arrives: bool
) -> None:
    clock = ManualClock()
    artifacts, ref = await stored(b"content")
    async with running(wecom_bridge(wecom.url, artifacts=artifacts, clock=clock)) as it:
        wecom.user_says(USER, "send it")
        await it.inbox.wait_for(1)
        wecom.fault("aibot_upload_media_chunk", "errcode", errcode=-1, count=refusals)
        async with asyncio.TaskGroup() as tasks:
            send = tasks.create_task(_file_outcome(it, ref))
            for wait_s in (0.5, 1.0):
                await clock.sleeping(2)
                await clock.advance(wait_s)
        assert send.result() == (None if arrives else DeliveryRetryLater)
        assert len(wecom.messages(USER)) == (2 if arrives else 0), "nothing of it, or all"


async def _file_outcome(it: Running, ref: str) -> type[Exception] | None:
    try:
        await it.bridge.send(outbound("here", files=(Image(ref=ref),)))
    except DeliveryError as error:
        return type(error)
    return None


async def test_an_upload_that_takes_too_long_is_surely_not_sent(wecom: FakeWecom) -> None:
    artifacts, ref = await stored(b"content")
    async with running(wecom_bridge(wecom.url, artifacts=artifacts, uploads_s=0.05)) as it:
        wecom.user_says(USER, "send it")
        await it.inbox.wait_for(1)
        wecom.fault("aibot_upload_media_init", "no_ack")
        with pytest.raises(DeliveryRetryLater, match="take too long"):
            await it.bridge.send(outbound("here", files=(Image(ref=ref),)))
        assert wecom.messages(USER) == []


async def test_a_file_that_fails_behind_its_text_is_no_longer_surely_unsent(wecom: FakeWecom) -> None:
    artifacts, ref = await stored(b"content")
    async with running(wecom_bridge(wecom.url, artifacts=artifacts)) as it:
        wecom.user_says(USER, "send it")
        await it.inbox.wait_for(1)
        wecom.fault("aibot_send_msg", "errcode", errcode=45009, nth=2)
        with pytest.raises(DeliveryUnknown):
            await it.bridge.send(outbound("here", files=(Image(ref=ref),)))


@pytest.mark.parametrize("content", [b"", b"12345"])
async def test_a_file_that_no_platform_takes_is_rejected_before_anything_is_sent(
    wecom: FakeWecom, content: bytes
) -> None:
    artifacts, ref = await stored(content)
    async with running(wecom_bridge(wecom.url, artifacts=artifacts)) as it:
        for bad in (ref, "artifact:" + "0" * 32):
            with pytest.raises(DeliveryRejected):
                await it.bridge.send(outbound("here", files=(Image(ref=bad),)))
        assert wecom.seen[1:] == []


async def test_an_address_of_another_bot_is_rejected(wecom: FakeWecom) -> None:
    bridge = wecom_bridge(wecom.url, bot_id="aibAnother")
    with pytest.raises(DeliveryRejected, match="another bot"):
        await bridge.send(outbound("x"))
    await bridge.close()
