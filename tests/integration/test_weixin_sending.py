"""The WeChat bridge sends to the fake iLink API: within quotas, never twice by itself, files with their cipher."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bridges.weixin.media import INSTALL
from clawd.conformance.inbox import MemoryInbox
from clawd.errors import (
    BridgeNotReady,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
    FileGone,
    FileTooLarge,
)
from clawd.ids import to_ms
from clawd.messages import Audio, File, Image
from clawd.testing import ManualClock, MemoryArtifacts
from tests.fakes.ilink_api import FakeIlink
from tests.fakes.weixin import outbound, running, weixin_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bridges.weixin.bridge import WeixinBridge

KEY = "000102030405060708090a0b0c0d0e0f"


@pytest.fixture
async def ilink() -> AsyncIterator[FakeIlink]:
    async with FakeIlink() as server:
        yield server


@asynccontextmanager
async def asked(ilink: FakeIlink, folder: Path, **settings: Any) -> AsyncIterator[WeixinBridge]:
    """A bridge that somebody has just written to."""
    inbox = MemoryInbox()
    ilink.user_says("a question")
    bridge = weixin_bridge(ilink, folder, **settings)
    async with running(bridge, inbox):
        await inbox.wait_for(1)
        yield bridge


async def write_again(ilink: FakeIlink) -> None:
    """Let the user write; return once the bridge has asked for more."""
    polls = len(ilink.calls("getupdates"))
    ilink.user_says("more")
    await ilink.wait_until(lambda: len(ilink.calls("getupdates")) > polls)


# --- texts --------------------------------------------------------------------------------------------------


async def test_a_reply_carries_the_context_and_gets_the_servers_id(ilink: FakeIlink, tmp_path: Path) -> None:
    async with asked(ilink, tmp_path) as bridge:
        receipt = await bridge.send(outbound(ilink, "收到 <b> `<c>`"))
    assert ilink.texts() == ["收到 ＜b＞ `<c>`"]
    assert int(receipt.remote_id or 0) > 2**63


async def test_nobody_is_written_to_without_a_context(ilink: FakeIlink, tmp_path: Path) -> None:
    async with asked(ilink, tmp_path) as bridge:
        with pytest.raises(DeliveryParked):
            await bridge.send(outbound(ilink, "hello", user="stranger@im.wechat"))
    assert ilink.calls("sendmessage") == []


async def test_an_older_token_that_comes_late_is_not_used(ilink: FakeIlink, tmp_path: Path) -> None:
    inbox = MemoryInbox()
    old = ilink.user_says("old")
    ilink.user_says("new")
    ilink.push({**old, "message_id": 5, "seq": 0})
    bridge = weixin_bridge(ilink, tmp_path)
    async with running(bridge, inbox):
        await inbox.wait_for(3)
        await bridge.send(outbound(ilink, "answer"))
    assert ilink.texts() == ["answer"]


async def test_a_context_survives_a_restart(ilink: FakeIlink, tmp_path: Path) -> None:
    inbox = MemoryInbox()
    ilink.user_says("a question")
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(1)
    bridge = weixin_bridge(ilink, tmp_path)
    async with running(bridge, inbox) as state:
        await state.ready.wait()
        await bridge.send(outbound(ilink, "answer"))
    assert ilink.texts() == ["answer"]


async def test_a_budget_ends_before_the_servers_quota_and_the_rest_is_kept_for_what_cannot_wait(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    async with asked(ilink, tmp_path) as bridge:
        for n in range(8):
            await bridge.send(outbound(ilink, f"part {n}", number=n))
        with pytest.raises(DeliveryParked, match="8 of 8"):
            await bridge.send(outbound(ilink, "part 8", number=8))
        assert len(ilink.calls("sendmessage")) == 8, "parked without a word to the server"
        for n in (9, 10):
            await bridge.send(outbound(ilink, f"urgent {n}", number=n, kind="question"))
        with pytest.raises(DeliveryParked):
            await bridge.send(outbound(ilink, "urgent 11", number=11, kind="failed"))
        await write_again(ilink)
        await bridge.send(outbound(ilink, "part 8", number=8))
    assert len(ilink.texts()) == 11


@pytest.mark.parametrize("words", ["", "rate limited", "prepare failed"])
async def test_what_the_server_no_longer_takes_is_parked_and_not_tried_in_a_loop(
    ilink: FakeIlink, tmp_path: Path, words: str
) -> None:
    async with asked(ilink, tmp_path) as bridge:
        ilink.fault("sendmessage", {"ret": -2, "errmsg": words})
        for _ in range(3):
            with pytest.raises(DeliveryParked):
                await bridge.send(outbound(ilink, "answer"))
        assert len(ilink.calls("sendmessage")) == 1
        assert len(ilink.calls("getconfig")) == 1
        await write_again(ilink)
        await bridge.send(outbound(ilink, "answer"))
    assert ilink.texts() == ["answer"]


async def test_a_fresh_token_of_the_server_is_tried_once_under_the_same_id(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    async with asked(ilink, tmp_path) as bridge:
        ilink.fresh_token = "ctx-fresh"
        ilink.fault("sendmessage", {"ret": -2, "errmsg": "prepare failed"})
        await bridge.send(outbound(ilink, "answer"))
    first, second = ilink.calls("sendmessage")
    assert first.body["msg"]["client_id"] == second.body["msg"]["client_id"]
    assert second.body["msg"]["context_token"] == "ctx-fresh"


async def test_a_context_that_changes_while_a_send_is_under_way_is_used(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    async with asked(ilink, tmp_path) as bridge:
        ilink.fault("getconfig", "hang")  # until the user has written
        ilink.close_window()
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(bridge.send(outbound(ilink, "answer")))
            await ilink.wait_until(lambda: bool(ilink.calls("getconfig")))
            await write_again(ilink)
            sending.cancel()
        await bridge.send(outbound(ilink, "answer"))
    assert ilink.texts() == ["answer"]


async def test_after_a_day_nothing_is_tried_and_a_clock_set_back_closes_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    async with FakeIlink(now_ms=to_ms(clock.now())) as ilink, asked(ilink, tmp_path, clock=clock) as bridge:
        clock.jump(-90_000)
        await bridge.send(outbound(ilink, "one", number=1))
        clock.jump(90_000 + 86_500)
        with pytest.raises(DeliveryParked, match="older"):
            await bridge.send(outbound(ilink, "two", number=2))
        clock.jump(-86_500)
        await bridge.send(outbound(ilink, "two", number=2))
        assert ilink.texts() == ["one", "two"]


async def test_messages_keep_their_distance(tmp_path: Path) -> None:
    clock = ManualClock()
    async with FakeIlink(now_ms=to_ms(clock.now())) as ilink:
        async with (
            asked(ilink, tmp_path, clock=clock, send_interval_s=1.5) as bridge,
            asyncio.TaskGroup() as tasks,
        ):
            await bridge.send(outbound(ilink, "one", number=1))
            second = tasks.create_task(bridge.send(outbound(ilink, "two", number=2)))
            await clock.sleeping()
            assert ilink.texts() == ["one"]
            await clock.advance(1.5)
            await second
        assert ilink.texts() == ["one", "two"]


@pytest.mark.parametrize(
    ("kind", "error", "arrived"),
    [
        ("reset-after", DeliveryUnknown, 1),
        ("reset", DeliveryUnknown, 0),
        (500, DeliveryUnknown, 0),
        (502, DeliveryUnknown, 0),
        (b"", DeliveryUnknown, 0),
        (b"{}", DeliveryUnknown, 0),
        (b"{", DeliveryUnknown, 0),
        ({"ret": -1}, DeliveryUnknown, 0),
        (429, DeliveryRetryLater, 0),
        ({"ret": -3, "errmsg": "invalid argument"}, DeliveryRejected, 0),
        (400, DeliveryRejected, 0),
        (302, DeliveryUnknown, 0),
    ],
)
async def test_a_send_that_fails_says_whether_it_may_have_arrived(
    ilink: FakeIlink, tmp_path: Path, kind: Any, error: type, arrived: int
) -> None:
    async with asked(ilink, tmp_path) as bridge:
        ilink.fault("sendmessage", kind)
        with pytest.raises(error) as caught:
            await bridge.send(outbound(ilink, "answer"))
        assert type(caught.value) is error
        assert len(ilink.calls("sendmessage")) == 1
    assert len(ilink.sent) == arrived


async def test_a_send_without_an_answer_is_in_doubt(ilink: FakeIlink, tmp_path: Path) -> None:
    async with asked(ilink, tmp_path, request_timeout_s=0.1) as bridge:
        ilink.fault("sendmessage", "hang-after")
        with pytest.raises(DeliveryUnknown):
            await bridge.send(outbound(ilink, "answer"))


async def test_a_refused_connection_is_surely_not_sent(ilink: FakeIlink, tmp_path: Path) -> None:
    async with asked(ilink, tmp_path) as bridge:
        await ilink.stop()
        with pytest.raises(DeliveryRetryLater):
            await bridge.send(outbound(ilink, "answer"))


async def test_a_stale_login_in_a_send_waits_for_the_next_login(ilink: FakeIlink, tmp_path: Path) -> None:
    async with asked(ilink, tmp_path) as bridge:
        ilink.revoke()
        with pytest.raises(DeliveryUnauthorized):
            await bridge.send(outbound(ilink, "answer"))


async def test_a_reply_to_the_chat_of_another_login_is_given_up(ilink: FakeIlink, tmp_path: Path) -> None:
    async with asked(ilink, tmp_path) as bridge:
        message = outbound(ilink, "answer")
        ilink.bot_id = "somebody@im.bot"
        with pytest.raises(DeliveryRejected, match="another login"):
            await bridge.send(outbound(ilink, "answer"))
        ilink.bot_id = message.address.account
        await bridge.send(message)


# --- typing -------------------------------------------------------------------------------------------------


async def test_typing_shows_by_one_ticket_and_its_failures_are_never_seen(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    async with asked(ilink, tmp_path) as bridge:
        there = outbound(ilink, "x").address
        for _ in range(2):
            await bridge.working(there)
        assert ilink.typing == ["u1@im.wechat"] * 2
        assert len(ilink.calls("getconfig")) == 1
        await bridge.working(outbound(ilink, "x", user="stranger@im.wechat").address)
        ilink.fault("sendtyping", {"ret": -2})
        for _ in range(3):
            await bridge.working(there)
        assert len(ilink.calls("sendtyping")) == 3, "after a failure it rests"


# --- files --------------------------------------------------------------------------------------------------


async def stored(artifacts: MemoryArtifacts, content: bytes, name: str) -> str:
    async def pieces() -> AsyncIterator[bytes]:
        yield content[:7]
        yield content[7:]

    return (await artifacts.put(pieces(), max_bytes=10**9, name=name)).ref


async def test_files_go_behind_the_text_one_request_each(ilink: FakeIlink, tmp_path: Path) -> None:
    artifacts = MemoryArtifacts()
    files = (
        Image(ref=await stored(artifacts, b"picture", "a.png")),
        File(ref=await stored(artifacts, b"clawd media bytes", "b.txt"), name="b.txt"),
        File(ref=await stored(artifacts, b"", "c.mp4"), mime="video/mp4"),
        Audio(ref=await stored(artifacts, b"sound", "d.ogg")),
    )
    async with asked(ilink, tmp_path, artifacts=artifacts) as bridge:
        await bridge.send(outbound(ilink, "here", files=files))
    assert [(sent.item["type"], sent.text, sent.file) for sent in ilink.sent] == [
        (1, "here", None),
        (2, "", b"picture"),
        (4, "", b"clawd media bytes"),
        (5, "", b""),
        (4, "", b"sound"),
    ]
    assert len({sent.client_id for sent in ilink.sent}) == 5


async def test_an_upload_is_tried_three_times_and_a_text_waits_for_it(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    artifacts = MemoryArtifacts()
    files = (File(ref=await stored(artifacts, b"content", "a.txt")),)
    async with asked(ilink, tmp_path, artifacts=artifacts) as bridge:
        ilink.fault("upload", 500, 2)
        await bridge.send(outbound(ilink, "one", number=1, files=files))
        assert len(ilink.calls("upload")) == 3
        for kind in (500, "no-header", "reset"):
            ilink.fault("upload", kind, 3)
            with pytest.raises(DeliveryRetryLater):
                await bridge.send(outbound(ilink, "two", number=2, files=files))
        for answer in ({"ret": -1}, {"ret": 0}):
            ilink.fault("getuploadurl", answer)
            with pytest.raises(DeliveryRetryLater):
                await bridge.send(outbound(ilink, "two", number=2, files=files))
    assert ilink.texts() == ["one"]


async def test_a_file_that_is_refused_does_not_take_the_text_with_it(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    artifacts = MemoryArtifacts()
    files = (File(ref=await stored(artifacts, b"content", "a.exe"), name="a.exe"),)
    async with asked(ilink, tmp_path, artifacts=artifacts) as bridge:
        ilink.fault("upload", "bad")
        with pytest.raises(DeliveryRejected, match="file type not allowed"):
            await bridge.send(outbound(ilink, "here", number=1, files=files))
        gone = (File(ref="artifact:" + "f" * 32),)
        with pytest.raises(DeliveryRejected, match="there is no file"):
            await bridge.send(outbound(ilink, "there", number=2, files=gone))
    assert ilink.texts() == ["here", "there"]
    assert len(ilink.calls("upload")) == 1


async def test_what_broke_behind_the_text_is_in_doubt(ilink: FakeIlink, tmp_path: Path) -> None:
    artifacts = MemoryArtifacts()
    files = (File(ref=await stored(artifacts, b"content", "a.txt")),)
    async with asked(ilink, tmp_path, artifacts=artifacts) as bridge:
        ilink.on_sent = lambda _: ilink.fault("sendmessage", 429)
        with pytest.raises(DeliveryUnknown, match="1 of 2"):
            await bridge.send(outbound(ilink, "here", files=files))


async def test_an_upload_never_goes_to_a_host_that_is_not_the_platforms(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    artifacts = MemoryArtifacts()
    files = (File(ref=await stored(artifacts, b"content", "a.txt")),)
    async with asked(ilink, tmp_path, artifacts=artifacts) as bridge:
        ilink.fault("getuploadurl", {"ret": 0, "upload_full_url": "http://evil.invalid/upload"})
        with pytest.raises(DeliveryRetryLater, match="not WeChat's"):
            await bridge.send(outbound(ilink, "here", files=files))


@pytest.mark.parametrize("spelling", ["hex", "raw", "base64 of hex", "none"])
async def test_a_received_file_is_read_whatever_the_spelling_of_its_key(
    ilink: FakeIlink, tmp_path: Path, spelling: str
) -> None:
    content = bytes(range(256)) * 300
    media = ilink.keep_file(content, "" if spelling == "none" else KEY)
    image: dict[str, Any] = {"media": media}
    keys = {
        "raw": "AAECAwQFBgcICQoLDA0ODw==",
        "base64 of hex": "MDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGY=",
    }
    if spelling == "hex":
        image["aeskey"] = KEY
    elif spelling in keys:
        media["aes_key"] = keys[spelling]
    assert await _fetched(ilink, tmp_path, {"type": 2, "image_item": image}) == content


async def _fetched(ilink: FakeIlink, folder: Path, item: dict[str, Any], **settings: Any) -> bytes:
    inbox = MemoryInbox()
    ilink.user_sends(item)
    bridge = weixin_bridge(ilink, folder, **settings)
    async with running(bridge, inbox):
        await inbox.wait_for(1)
        (part,) = inbox.messages[-1].parts
        assert isinstance(part, Image | File | Audio)
        return b"".join([piece async for piece in bridge.fetch(part)])


def file_item(media: dict[str, Any], size: int = 5) -> dict[str, Any]:
    return {"type": 4, "file_item": {"media": {"aes_key": KEY, **media}, "file_name": "a", "len": str(size)}}


async def test_a_wrong_key_is_a_clean_error(ilink: FakeIlink, tmp_path: Path) -> None:
    media = ilink.keep_file(b"hello", "ff" * 16)
    with pytest.raises(FileGone, match="can't be decrypted"):
        await _fetched(ilink, tmp_path, file_item(media))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (404, FileGone),
        (400, FileGone),
        (500, BridgeNotReady),
        (429, BridgeNotReady),
        ("reset", BridgeNotReady),
    ],
)
async def test_a_download_that_fails_is_gone_or_tried_again(
    ilink: FakeIlink, tmp_path: Path, fault: Any, error: type[Exception]
) -> None:
    ilink.fault("download", fault, 2)  # aiohttp repeats a GET whose connection broke
    with pytest.raises(error):
        await _fetched(ilink, tmp_path, file_item(ilink.keep_file(b"hello", KEY)))


async def test_a_file_over_the_limit_is_not_taken_whatever_it_says_of_itself(
    ilink: FakeIlink, tmp_path: Path
) -> None:
    media = ilink.keep_file(b"x" * 2000, KEY)
    with pytest.raises(FileTooLarge):
        await _fetched(ilink, tmp_path / "a", file_item(media, 2000), max_file_bytes=1000)
    assert ilink.calls("download") == []
    with pytest.raises(FileTooLarge):
        await _fetched(ilink, tmp_path / "b", file_item(media, 5), max_file_bytes=1000)


async def test_a_file_that_is_said_to_be_elsewhere_is_not_asked_for(ilink: FakeIlink, tmp_path: Path) -> None:
    elsewhere = {"full_url": "http://169.254.169.254/latest"}
    with pytest.raises(FileGone, match="not at WeChat"):
        await _fetched(ilink, tmp_path / "a", file_item(elsewhere))
    media = ilink.keep_file(b"hello", KEY)
    assert await _fetched(ilink, tmp_path / "b", file_item({**media, **elsewhere})) == b"hello"
    full = {"full_url": f"{ilink.url}/c2c/download?encrypted_query_param=p%2B%2F0%3D"}
    assert await _fetched(ilink, tmp_path / "c", file_item(full)) == b"hello"


async def test_without_the_extra_text_works_and_files_say_what_to_install(
    ilink: FakeIlink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    async with asked(ilink, tmp_path) as bridge:
        assert bridge.capabilities.files == frozenset()
        await bridge.send(outbound(ilink, "answer"))
        with pytest.raises(FileGone) as caught:
            _ = [piece async for piece in bridge.fetch(File(ref=f"weixin:p=a&k={KEY}"))]
        assert INSTALL in caught.value.remedy
        assert INSTALL in await bridge.probe()
    assert [record.__dict__["remedy"] for record in caplog.records if record.name.startswith("bridges")] == [
        INSTALL
    ]
