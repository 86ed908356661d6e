"""The Telegram bridge sends files: each by the method that shows it best, and none is missing unseen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bridges.telegram.parcels import FILE_LIMIT
from bridges.telegram.pictures import PHOTO_BYTES
from bridges.telegram.units import utf16_len
from clawd.config.schema import DeliveryConfig
from clawd.delivery.split import HEAD
from clawd.errors import DeliveryRetryLater, DeliveryUnknown
from clawd.media import ARTIFACT
from clawd.messages import Audio, File, Image, Media
from clawd.testing import ManualClock, MemoryArtifacts, ScriptedModel
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import outbound, telegram_bridge
from tests.fakes.telegram_talk import inside, pass_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bridges.telegram.bridge import TelegramBridge
    from clawd.messages import OutboundMessage
    from tests.fakes.bot_api_world import SentMessage

CHAT, GROUP = 7, -1001
OPUS = b"OggS" + bytes(24) + b"OpusHead" + bytes(100)
MP3 = b"ID3" + bytes(100)


def png(width: int = 30, height: int = 20, size: int = 100) -> bytes:
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sides + bytes(size)


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.user_says(CHAT, "question")
        server.user_says(GROUP, "question", sender=42)
        yield server


@pytest.fixture
def artifacts() -> MemoryArtifacts:
    return MemoryArtifacts()


@pytest.fixture
async def bridge(api: FakeBotApi, artifacts: MemoryArtifacts) -> AsyncIterator[TelegramBridge]:
    bridge = telegram_bridge(api.url, artifacts=artifacts)
    yield bridge
    await bridge.close()


async def stored(artifacts: MemoryArtifacts, content: bytes, name: str = "a file") -> str:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    return (await artifacts.put(pieces(), max_bytes=10**9, name=name)).ref


def told(message: SentMessage) -> tuple[str, str, bytes]:
    return message.kind, message.text, message.file


def with_files(text: str, *files: Media, **fields: Any) -> OutboundMessage:
    return replace(outbound(text, **fields), files=files)


@pytest.mark.parametrize(
    ("part", "content", "kind"),
    [
        (Image, png(), "photo"),
        (Image, png(9000, 999), "photo"),
        (Image, png(9000, 1001), "document"),
        (Image, png(2001, 100), "document"),
        (Image, png(size=PHOTO_BYTES), "document"),
        (Image, b"GIF89a" + bytes(50), "document"),
        (Image, b"no picture", "document"),
        (Audio, OPUS, "voice"),
        (Audio, b"OggS" + bytes(24) + b"\x01vorbis" + bytes(50), "document"),
        (Audio, MP3, "audio"),
        (Audio, b"\xff\xfb\x90\x00" + bytes(50), "audio"),
        (Audio, b"\0\0\0\x20ftypM4A " + bytes(50), "audio"),
        (Audio, b"RIFF....WAVEfmt ", "document"),
        (File, png(), "document"),
    ],
)
async def test_a_file_goes_out_by_the_method_that_shows_it_best(
    api: FakeBotApi, bridge: TelegramBridge, artifacts: MemoryArtifacts, part: Any, content: bytes, kind: str
) -> None:
    receipt = await bridge.send(
        with_files("**see**", part(ref=await stored(artifacts, content, 'é "x".bin')))
    )
    (message,) = api.sent(CHAT)
    assert told(message) == (kind, "see", content)
    assert [entity["type"] for entity in message.entities] == ["bold"]
    assert message.file_name == "é _x_.bin"
    assert receipt.remote_id == str(message.message_id)
    assert len(api.log) == 1


async def test_a_long_text_comes_in_front_of_its_file_and_files_follow_each_other(
    api: FakeBotApi, bridge: TelegramBridge, artifacts: MemoryArtifacts
) -> None:
    one, two = await stored(artifacts, png()), await stored(artifacts, b"words", "w.txt")
    receipt = await bridge.send(with_files("x" * 1025, Image(ref=one)))
    await bridge.send(with_files("both", Image(ref=one), File(ref=two)))
    await bridge.send(with_files("", File(ref=two), chat=GROUP, reference="1"))
    assert [(m.kind, m.text) for m in api.sent(CHAT)] == [
        ("", "x" * 1025),
        ("photo", ""),
        ("", "both"),
        ("photo", ""),
        ("document", ""),
    ]
    assert receipt.remote_id == str(api.sent(CHAT)[0].message_id)
    (alone,) = api.sent(GROUP)
    assert (alone.kind, alone.reply_to) == ("document", 1)


async def test_a_preview_becomes_the_text_and_the_file_follows_it(
    api: FakeBotApi, bridge: TelegramBridge, artifacts: MemoryArtifacts
) -> None:
    sent = await bridge.send(outbound("so far"))
    file = File(ref=await stored(artifacts, b"words"))
    await bridge.send(with_files("all", file, edit_of=sent.remote_id))
    assert [(m.kind, m.text) for m in api.sent(CHAT)] == [("", "all"), ("document", "")]


@pytest.mark.parametrize("words", ["IMAGE_PROCESS_FAILED", "PHOTO_INVALID_DIMENSIONS", "not enough rights"])
async def test_a_photo_that_is_refused_is_sent_as_a_document(
    api: FakeBotApi, bridge: TelegramBridge, artifacts: MemoryArtifacts, words: str
) -> None:
    api.fault("sendPhoto", "400", description=words)
    await bridge.send(with_files("see", Image(ref=await stored(artifacts, png()))))
    assert [told(m) for m in api.sent(CHAT)] == [("document", "see", png())]


async def test_a_file_that_can_not_be_sent_is_named_in_words(
    api: FakeBotApi, bridge: TelegramBridge, artifacts: MemoryArtifacts
) -> None:
    api.fault("sendDocument", "400", description="not enough rights to send documents to the chat")
    await bridge.send(with_files("see", File(ref=await stored(artifacts, b"words", "w`.txt"))))
    await bridge.send(with_files("and", File(ref=f"{ARTIFACT}none", name="gone.txt")))
    ref = await stored(artifacts, b"much", "much.bin")
    artifacts.files[ref] = (replace(artifacts.files[ref][0], size=FILE_LIMIT + 1), b"much")
    await bridge.send(with_files("so", File(ref=ref)))
    assert [m.text for m in api.sent(CHAT)] == [
        "see\n📎 w.txt ✗",
        "and",
        "📎 gone.txt ✗",
        "so",
        "📎 much.bin ✗",
    ]


async def test_a_file_that_does_not_follow_its_text_is_no_longer_surely_unsent(
    api: FakeBotApi, artifacts: MemoryArtifacts
) -> None:
    bridge = telegram_bridge(api.url, clock=ManualClock(), artifacts=artifacts)
    file = File(ref=await stored(artifacts, b"words"))
    api.fault("sendDocument", "429", retry_after=60)
    with pytest.raises(DeliveryUnknown, match="first part"):
        await bridge.send(with_files("x" * 1025, file))
    await bridge.close()


async def test_behind_an_edit_a_file_may_wait_unmarked(api: FakeBotApi, artifacts: MemoryArtifacts) -> None:
    bridge = telegram_bridge(api.url, clock=ManualClock(), artifacts=artifacts)
    sent = await bridge.send(outbound("so far"))
    file = File(ref=await stored(artifacts, b"words"))
    api.fault("sendDocument", "429", retry_after=60)
    with pytest.raises(DeliveryRetryLater):
        await bridge.send(with_files("all", file, edit_of=sent.remote_id))
    await bridge.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_upload_that_breaks_leaves_it_open_whether_it_arrived(
    api: FakeBotApi, bridge: TelegramBridge, artifacts: MemoryArtifacts, when: Any
) -> None:
    api.fault("sendDocument", "reset", when=when)
    with pytest.raises(DeliveryUnknown):
        await bridge.send(with_files("see", File(ref=await stored(artifacts, b"words"))))
    assert len(api.sent(CHAT)) == (when == "after")


async def test_a_file_is_read_piece_by_piece_while_it_is_sent(api: FakeBotApi) -> None:
    class Slow(MemoryArtifacts):
        given = 0
        most = 0

        async def read(self, ref: str) -> AsyncIterator[bytes]:
            for _ in range(200):
                self.given += 1
                yield bytes(64 * 1024)

    artifacts = Slow()
    bridge = telegram_bridge(api.url, artifacts=artifacts)
    ref = await stored(artifacts, b"x")
    await bridge.send(with_files("big", File(ref=ref)))
    await bridge.close()
    assert len(api.sent(CHAT)[0].file) == 200 * 64 * 1024
    assert artifacts.given == 201, "the first piece alone, then each once"


# --- very long answers ------------------------------------------------------------------------------------

LONG = "".join(f"line {n} **x**\n" for n in range(1400)).strip()


async def test_a_very_long_answer_is_a_document_of_its_own_words(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    await bridge.send(outbound(LONG, part=1, parts=2))
    (message,) = api.sent(CHAT)
    assert told(message) == ("document", "", LONG.encode())
    assert message.file_name == "answer.md"


async def test_a_repeated_document_has_the_mark_as_its_caption_and_not_in_it(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    again = replace(outbound(f"(may be a repeat)\n{LONG}", part=1, parts=2), repeated=True)
    await bridge.send(again)
    assert told(api.sent(CHAT)[0]) == ("document", "(may be a repeat)", LONG.encode())


async def test_where_documents_are_refused_a_very_long_answer_comes_in_pieces(api: FakeBotApi) -> None:
    bridge = telegram_bridge(api.url, clock=ManualClock())
    api.fault("sendDocument", "400", description="not enough rights to send documents to the chat")
    await bridge.send(outbound(LONG))
    await bridge.close()
    assert "\n".join(m.text for m in api.sent(CHAT)) == LONG.replace("**", "")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_document_that_breaks_is_as_ambiguous_as_a_message(
    api: FakeBotApi, bridge: TelegramBridge, when: Any
) -> None:
    api.fault("sendDocument", "502", when=when)
    with pytest.raises(DeliveryUnknown):
        await bridge.send(outbound(LONG))


async def test_head_and_document_are_rows_of_their_own_and_only_the_broken_one_is_repeated(
    api: FakeBotApi, state_dir: Path
) -> None:
    clock, model = ManualClock(), ScriptedModel(LONG)
    bridge = telegram_bridge(api.url, clock=clock)
    api.fault("sendDocument", "502", when="after")
    async with inside(state_dir, bridge, model, clock) as inner:
        await api.wait_until(lambda: len(api.sent(CHAT)) == 2)
        async with asyncio.timeout(30):
            while len(api.calls("sendDocument")) < 2:
                await pass_time(inner, clock, 1)
        await api.wait_for_calls("sendDocument", 2)
        await inner.settled()
        assert [m.kind for m in api.sent(CHAT)] == ["", "document", "document"], api.log
        head, first, again = api.sent(CHAT)
        assert head.text.startswith("line 0 x\nline 1 x")
        assert head.text.endswith("\n\n… 📄")
        assert utf16_len(head.text) <= HEAD
        assert (told(first), told(again)) == (
            ("document", "", LONG.encode()),
            ("document", DeliveryConfig().repeat_mark, LONG.encode()),
        )
    await bridge.close()
