"""Many messages at once for WeChat: what has to wait is put off, and never counts as perhaps sent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bridges.weixin.api import IlinkApi
from bridges.weixin.cdn import Cdn
from bridges.weixin.config import WeixinConfig
from bridges.weixin.contexts import Context, Contexts
from bridges.weixin.credentials import Credentials
from bridges.weixin.sending import Sending
from clawd.bridge import NetworkConfig
from clawd.config.base import Secret
from clawd.errors import DeliveryRetryLater
from clawd.ids import SystemClock, to_ms
from clawd.messages import File
from clawd.testing import MemoryArtifacts
from tests.fakes.ilink_api import USER, FakeIlink
from tests.fakes.weixin import outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clawd.messages import OutboundMessage


class Way:
    """The way out of a bridge whose user has just written."""

    def __init__(self, ilink: FakeIlink, **patience: float) -> None:
        config = WeixinConfig.model_validate({"type": "weixin", **ilink.section, "send_interval_s": 0})
        self.api = IlinkApi(config, NetworkConfig(), version="1")
        self.artifacts = MemoryArtifacts()
        cdn = Cdn("weixin", self.api, config, self.artifacts)
        clock = SystemClock()
        self._sending = Sending("weixin", self.api, cdn, config, clock, **patience)
        self._login = Credentials(
            bot_id=ilink.bot_id, token=Secret(ilink.token, "a test"), base_url=ilink.url, user_id=USER
        )
        said = ilink.user_says("a question")
        context = Context(token=said["context_token"], at_ms=to_ms(clock.now()))
        self._contexts = Contexts({USER: context})

    async def send(self, message: OutboundMessage) -> str | None:
        return (await self._sending.send(message, self._login, self._contexts)).remote_id


@asynccontextmanager
async def way_out(**patience: float) -> AsyncIterator[tuple[FakeIlink, Way]]:
    async with FakeIlink() as ilink:
        way = Way(ilink, **patience)
        try:
            yield ilink, way
        finally:
            await way.api.close()


async def test_a_message_that_waits_too_long_behind_another_is_surely_not_sent() -> None:
    async with way_out(patience_s=0.01) as (ilink, way), asyncio.TaskGroup() as tasks:
        ilink.fault("sendmessage", "hang")
        stuck = tasks.create_task(way.send(outbound(ilink, "first", number=1)))
        await ilink.wait_until(lambda: len(ilink.calls("sendmessage")) == 1)
        with pytest.raises(DeliveryRetryLater) as refused:
            await way.send(outbound(ilink, "second", number=2))
        assert not refused.value.tried
        stuck.cancel()
    assert len(ilink.calls("sendmessage")) == 1


async def test_messages_beyond_a_few_leave_their_room_at_once() -> None:
    async with way_out(patience_s=60) as (ilink, way), asyncio.TaskGroup() as tasks:
        ilink.fault("sendmessage", "hang")
        first = [tasks.create_task(way.send(outbound(ilink, "one", number=n))) for n in range(8)]
        await ilink.wait_until(lambda: len(ilink.calls("sendmessage")) == 1)
        for number in (8, 9):
            with pytest.raises(DeliveryRetryLater) as refused:
                await way.send(outbound(ilink, "one more", number=number))
            assert not refused.value.tried
        for task in first:
            task.cancel()
    assert len(ilink.calls("sendmessage")) == 1


async def test_an_upload_holds_up_no_other_message() -> None:
    async with way_out() as (ilink, way), asyncio.TaskGroup() as tasks:
        ilink.fault("upload", "hang")
        upload = tasks.create_task(way.send(await with_file(ilink, way)))
        await ilink.wait_until(lambda: len(ilink.calls("upload")) == 1)
        assert await way.send(outbound(ilink, "a word", number=2))
        assert not upload.done()
        upload.cancel()
    assert ilink.texts() == ["a word"]


async def test_an_upload_that_takes_too_long_is_surely_not_sent() -> None:
    async with way_out(uploads_s=0.05) as (ilink, way):
        ilink.fault("upload", "hang")
        with pytest.raises(DeliveryRetryLater):
            await way.send(await with_file(ilink, way))
    assert ilink.texts() == []


async def with_file(ilink: FakeIlink, way: Way) -> OutboundMessage:
    async def content() -> AsyncIterator[bytes]:
        yield b"content"

    file = await way.artifacts.put(content(), max_bytes=100)
    return outbound(ilink, "see", number=1, files=(File(ref=file.ref, name="a.txt"),))
