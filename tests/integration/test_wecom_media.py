"""Files that people send are fetched and decrypted, whole or not at all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from clawd.conformance import MemoryInbox
from clawd.errors import BridgeNotReady, FileGone, FileTooLarge
from clawd.messages import File, Image
from tests.fakes.wecom import running, wecom_bridge
from tests.fakes.wecom_api import FakeWecom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.wecom.bridge import WecomBridge
    from clawd.messages import Media

KEY = bytes(range(0x20, 0x40))


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWecom]:
    async with FakeWecom() as server:
        yield server


def unpadded(plain: bytes) -> bytes:
    """Return whole blocks, encrypted as they are."""
    aes = Cipher(algorithms.AES(KEY), modes.CBC(KEY[:16])).encryptor()
    return aes.update(plain) + aes.finalize()


async def received(wecom: FakeWecom, media: dict[str, str], bridge: WecomBridge) -> Media:
    """Return the part that a file of this description becomes."""
    inbox = MemoryInbox()
    async with running(bridge, inbox):
        wecom.user_sends("zhangsan", {"msgtype": "file", "file": media})
        await inbox.wait_for(1)
    (part,) = inbox.messages[0].parts
    assert isinstance(part, File)
    return part


async def content(bridge: WecomBridge, part: Media) -> bytes:
    """Return a whole file."""
    try:
        return b"".join([piece async for piece in bridge.fetch(part)])
    finally:
        await bridge.close()


@pytest.mark.parametrize("size", [1, 15, 16, 17, 31, 32, 33, 65_536, 300_000])
async def test_a_file_is_had_as_it_was_sent(wecom: FakeWecom, size: int) -> None:
    plain = (bytes(range(256)) * (size // 256 + 1))[:size]
    bridge = wecom_bridge(wecom.url)
    part = await received(wecom, wecom.files.put(plain, key=KEY), bridge)
    assert await content(bridge, part) == plain


async def test_a_recorded_file_decrypts_as_the_vendors_own_client_decrypts_it(wecom: FakeWecom) -> None:
    recorded = "c83418f6497b3f6b2a04c48438af986da07f3474e2db4f6c4d4a83845d13b833"
    bridge = wecom_bridge(wecom.url)
    media = wecom.files.put(b"", key=KEY)
    wecom.files.of(media).body = bytes.fromhex(recorded)
    part = await received(wecom, media, bridge)
    assert await content(bridge, part) == b"clawd media bytes"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, FileGone),
        (404, FileGone),
        (302, FileGone),
        (500, BridgeNotReady),
        (503, BridgeNotReady),
        (429, BridgeNotReady),
    ],
)
async def test_a_file_that_is_refused_is_gone_or_out_of_reach_for_now(
    wecom: FakeWecom, status: int, error: type[Exception]
) -> None:
    bridge = wecom_bridge(wecom.url)
    part = await received(wecom, wecom.files.put(b"x", status=status), bridge)
    with pytest.raises(error, match=str(status)):
        await content(bridge, part)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x" * 31,
        bytes(32),
        b"<html>busy</html>",
        bytes(range(64)),
        # A count that could be, of bytes that are not it, and counts that can't be.
        unpadded(bytes(31) + b"\x05"),
        unpadded(bytes(32)),
        unpadded(bytes(31) + b"!"),
    ],
    ids=repr,
)
async def test_what_does_not_decrypt_is_gone(wecom: FakeWecom, body: bytes) -> None:
    bridge = wecom_bridge(wecom.url)
    media = wecom.files.put(b"x", key=KEY)
    wecom.files.of(media).body = body
    part = await received(wecom, media, bridge)
    with pytest.raises(FileGone, match="decrypted"):
        await content(bridge, part)


async def test_another_key_than_its_own_opens_no_file(wecom: FakeWecom) -> None:
    bridge = wecom_bridge(wecom.url)
    media = wecom.files.put(b"content" * 100, key=bytes(32))
    other = wecom.files.put(b"x", key=KEY)
    part = await received(wecom, {"url": media["url"], "aeskey": other["aeskey"]}, bridge)
    with pytest.raises(FileGone, match="decrypted"):
        await content(bridge, part)


async def test_a_download_that_breaks_off_is_asked_for_again(wecom: FakeWecom) -> None:
    bridge = wecom_bridge(wecom.url)
    media = wecom.files.put(b"x" * 100_000, key=KEY)
    wecom.files.of(media).cut = 50_000
    part = await received(wecom, media, bridge)
    with pytest.raises(BridgeNotReady):
        await content(bridge, part)


@pytest.mark.parametrize("sized", [True, False])
async def test_a_file_above_the_limit_is_too_large(wecom: FakeWecom, sized: bool) -> None:
    for size, error in ((1000, None), (1001 + 32, FileTooLarge)):
        bridge = wecom_bridge(wecom.url, max_file_bytes=1000)
        media = wecom.files.put(b"x" * size)
        wecom.files.of(media).sized = sized
        part = await received(wecom, media, bridge)
        if error is None:
            assert len(await content(bridge, part)) == size
        else:
            with pytest.raises(error):
                await content(bridge, part)


@pytest.mark.parametrize("ref", ["wecom:!!!", "wecom:", "wecom:e30=", "telegram-file-id", "artifact:0"])
async def test_what_was_no_file_of_wecoms_is_gone(wecom: FakeWecom, ref: str) -> None:
    with pytest.raises(FileGone):
        await content(wecom_bridge(wecom.url), Image(ref=ref))


async def test_a_platform_with_tls_names_no_file_without_it(wecom: FakeWecom) -> None:
    part = await received(wecom, wecom.files.put(b"content"), wecom_bridge(wecom.url))
    with pytest.raises(FileGone):
        await content(wecom_bridge("wss://127.0.0.1:1"), part)


async def test_neither_address_nor_key_of_a_file_is_told(
    wecom: FakeWecom, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for status in (200, 403, 500):
        bridge = wecom_bridge(wecom.url)
        media = wecom.files.put(b"x", status=status)
        if status == 200:
            wecom.files.of(media).cut = 8
        part = await received(wecom, media, bridge)
        with pytest.raises((FileGone, BridgeNotReady)) as caught:
            await content(bridge, part)
        told.append(f"{caught.value}{caught.value.__cause__!r}{caught.value.why}")
        assert not [t for t in (*told, caplog.text) if "s3cr3t-sign" in t or media["aeskey"] in t]
