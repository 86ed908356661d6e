"""Files that people send to the bot are had by reference, from the fake Bot API."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from clawd.conformance import MemoryInbox
from clawd.errors import BridgeNotReady, ClawdError, FileGone, FileTooLarge
from clawd.messages import Audio, File, Image, Media, Text
from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.telegram import running, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bridges.telegram.bridge import TelegramBridge

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        yield server


@pytest.fixture
async def bridge(api: FakeBotApi) -> AsyncIterator[TelegramBridge]:
    bridge = telegram_bridge(api.url)
    yield bridge
    await bridge.close()


async def had(bridge: TelegramBridge, part: Media) -> bytes:
    return b"".join([piece async for piece in bridge.fetch(part)])


@pytest.mark.parametrize(
    ("kind", "said", "part"),
    [
        ("photo", {}, Image(ref="file-1", mime="image/jpeg", size=256_000)),
        (
            "voice",
            {},
            Audio(ref="file-1", mime="audio/ogg", size=256_000, duration_s=3.0),
        ),
        (
            "audio",
            {"file_name": "a.mp3", "mime_type": "audio/mpeg"},
            Audio(ref="file-1", mime="audio/mpeg", size=256_000, duration_s=3.0, name="a.mp3"),
        ),
        ("document", {"file_name": "a.txt"}, File(ref="file-1", size=256_000, name="a.txt")),
        (
            "document",
            {"file_name": "a.png", "mime_type": "image/png"},
            Image(ref="file-1", size=256_000, name="a.png", mime="image/png"),
        ),
        ("video", {"mime_type": "video/mp4"}, File(ref="file-1", size=256_000, mime="video/mp4")),
    ],
)
async def test_what_was_sent_is_had_under_its_caption_and_name(
    api: FakeBotApi, bridge: TelegramBridge, kind: str, said: dict[str, Any], part: Media
) -> None:
    inbox = MemoryInbox()
    api.files.user_sends(7, kind, CONTENT, caption="look", **said)
    async with running(bridge, inbox):
        await inbox.wait_for(1)
    assert inbox.messages[0].parts == (Text("look"), part)
    assert await had(bridge, part) == CONTENT


async def test_what_is_known_to_be_too_large_is_not_asked_for(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    with pytest.raises(FileTooLarge, match="20,971,520"):
        await had(bridge, File(ref="file-1", size=20 * 1024 * 1024 + 1))
    assert api.log == []


async def test_what_turns_out_to_be_too_large_is_refused_by_that_name(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.files.put("large", bytes(20 * 1024 * 1024 + 1))
    with pytest.raises(FileTooLarge):
        await had(bridge, File(ref="large"))


@pytest.mark.parametrize("kind", ["404", "400"])
async def test_a_file_that_is_gone_is_not_asked_for_again(
    api: FakeBotApi, bridge: TelegramBridge, kind: str
) -> None:
    api.files.put("x", CONTENT)
    api.fault("download", kind)
    with pytest.raises(FileGone):
        await had(bridge, File(ref="x"))


async def test_a_reference_that_telegram_does_not_know_is_gone(bridge: TelegramBridge) -> None:
    with pytest.raises(FileGone, match="does not have this file"):
        await had(bridge, File(ref="nowhere"))


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("getFile", "502"),
        ("getFile", "401"),
        ("getFile", "reset"),
        ("download", "cut"),
        ("download", "500"),
        ("download", "reset"),
        ("download", "401"),
    ],
)
async def test_an_outage_is_told_from_a_loss_and_shows_no_token(
    api: FakeBotApi, bridge: TelegramBridge, method: str, kind: str
) -> None:
    api.files.put("x", CONTENT)
    api.fault(method, kind, count=2)  # aiohttp itself tries a broken connection that it kept once more
    with pytest.raises(BridgeNotReady) as caught:
        await had(bridge, File(ref="x"))
    _says_no_token(caught.value)
    api.clear_faults()
    assert await had(bridge, File(ref="x")) == CONTENT


async def test_a_wait_that_telegram_asks_for_is_passed_on(api: FakeBotApi, bridge: TelegramBridge) -> None:
    api.files.put("x", CONTENT)
    api.fault("getFile", "429", retry_after=3600)
    with pytest.raises(BridgeNotReady) as caught:
        await had(bridge, File(ref="x"))
    assert caught.value.retry_after_s == 3600


async def test_a_download_without_its_end_is_not_taken_for_whole(
    api: FakeBotApi, bridge: TelegramBridge
) -> None:
    api.files.put("x", CONTENT, size=len(CONTENT) + 1)
    with pytest.raises(BridgeNotReady, match="incomplete"):
        await had(bridge, File(ref="x"))


async def test_no_server_makes_us_read_our_own_disk(
    api: FakeBotApi, bridge: TelegramBridge, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    api.files.put("x", CONTENT, path=str(tmp_path / "secret"))
    with pytest.raises(FileGone) as caught:
        await had(bridge, File(ref="x"))
    assert "local_dir" in caught.value.remedy


async def test_a_server_in_local_mode_gives_files_of_any_size_from_its_folder_alone(
    api: FakeBotApi, tmp_path: Path
) -> None:
    folder = tmp_path / "bot-api"
    folder.mkdir()
    (folder / "large").write_bytes(bytes(21 * 1024 * 1024))
    (tmp_path / "secret").write_bytes(CONTENT)
    (folder / "link").symlink_to(tmp_path / "secret")
    bridge = telegram_bridge(api.url, local_dir=str(folder))
    api.files.put("x", bytes(21 * 1024 * 1024), path=str(folder / "large"))
    assert len(await had(bridge, File(ref="x", size=21 * 1024 * 1024))) == 21 * 1024 * 1024
    for number, path in enumerate((folder / "link", folder / ".." / "secret", folder / "none")):
        api.files.put(f"y{number}", CONTENT, path=str(path))
        with pytest.raises(FileGone):
            await had(bridge, File(ref=f"y{number}"))
    await bridge.close()


def _says_no_token(error: ClawdError) -> None:
    told = "".join(traceback.format_exception(error)) + repr(error.__cause__) + repr(error.__context__)
    assert TOKEN not in told
    assert TOKEN.partition(":")[2] not in told
