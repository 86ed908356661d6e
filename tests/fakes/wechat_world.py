"""A WeChat bridge between the platform's two sides and the inside of a daemon, by a clock that a test moves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from bridges.wechat import WeChatConfig
from bridges.wechat.bridge import WeChatBridge
from clawd.config.schema import JournalConfig
from clawd.testing import ManualClock, MemoryArtifacts, RecordingBridge
from tests.fakes.bridge_context import bridge_context
from tests.fakes.inner import PATIENCE_S, Inner
from tests.fakes.wechat_api import APP_SECRET, WeChatApiFake
from tests.fakes.wechat_sender import AES_KEY, APP_ID, TOKEN, USER, Reply, WeChatSender, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from clawd.config.schema import AccessConfig
    from clawd.models.base import ModelProvider


def wechat_config(**section: Any) -> WeChatConfig:
    """Return the section of a bridge; by itself it is plain, and may not use the API."""
    return WeChatConfig.model_validate({"type": "wechat", "app_id": APP_ID, "token": TOKEN} | section)


class WeChatWorld:
    """All of it; followers are known by their OpenID."""

    def __init__(
        self, state_dir: Path, api: WeChatApiFake, config: WeChatConfig, options: dict[str, Any]
    ) -> None:
        self.api = api
        self.clock = ManualClock()
        self.artifacts = MemoryArtifacts()
        self.config = config
        self.sender = WeChatSender(self.clock, safe=config.encrypted)
        self.bridge = self._bridge()
        self.inner = Inner(
            state_dir,
            bridges=(cast("RecordingBridge", self.bridge),),
            sections={"wechat": config},
            clock=self.clock,
            **options,
        )
        # A pause of the journal would last for ever by a clock that stands.
        self.inner._journal_config = JournalConfig(lock_timeout_s=PATIENCE_S)
        self._tasks: asyncio.TaskGroup | None = None

    def _bridge(self) -> WeChatBridge:
        context = bridge_context("wechat", clock=self.clock, artifacts=self.artifacts)
        return WeChatBridge(context, self.config)

    async def restart(self) -> None:
        """Crash and start again with a bridge that has forgotten everything."""
        await self.inner.crash()
        await self.bridge.close()
        self.bridge = self._bridge()
        self.inner.bridge = cast("RecordingBridge", self.bridge)
        self.inner._bridges = {"wechat": self.inner.bridge}
        await self.inner.start()
        await self.connected()

    async def connected(self) -> None:
        """Return once the bridge sends."""
        await self.until(lambda: "wechat" in self.inner.supervisor.connected())

    async def post(self, message: str) -> Reply:
        """Bring one message in; return what the platform got."""
        if "<MsgId>" in message:
            self.api.wrote(message.partition("<FromUserName><![CDATA[")[2].partition("]]>")[0])
        reply = await self.bridge.handle(self.sender.request(message), self.inner.inbox)
        return Reply(status=reply.status, body=reply.body)

    async def say(self, content: str, **fields: str | int) -> Reply:
        """Bring one text in."""
        return await self.post(text(content, **fields))

    def posting(self, message: str) -> asyncio.Task[Reply]:
        """Bring one message in beside the test."""
        assert self._tasks is not None
        return self._tasks.create_task(self.post(message))

    async def waits(self, count: int = 1) -> None:
        """Return once so many requests wait for an answer."""
        requests = self.bridge._receiving._requests

        def waiting() -> int:
            kept = requests._kept.values()
            return sum(len(request._given._waiters) for request in kept)

        await self.until(lambda: waiting() == count)

    async def late(self, message: str, count: int = 1) -> Reply:
        """Bring one message in whose answer takes too long."""
        trying = self.posting(message)
        await self.waits(count)
        await self.clock.advance(self.config.reply_wait_s)
        return await trying

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.002)

    async def kept_or_gone(self) -> bool:
        """Let time go on until deliveries wait for the person, or none is left; return whether some do."""
        query = (
            "SELECT state, count(*) FROM outbox WHERE state IN ('pending', 'sending', 'parked') GROUP BY 1"
        )
        async with asyncio.timeout(PATIENCE_S):
            while True:
                states: dict[str, int] = dict(await self.inner.opened.store.read(query))
                if not states or ("parked" in states and "sending" not in states):
                    return bool(states)
                await self.clock.advance(0.1)
                await asyncio.sleep(0.002)

    async def kept(self, count: int) -> None:
        """Return once so many deliveries are parked."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                rows = await self.inner.opened.store.read(
                    "SELECT count(*) FROM outbox WHERE state = 'parked'"
                )
                if rows[0][0] == count:
                    return
                await asyncio.sleep(0.005)


@asynccontextmanager
async def wechat_world(
    state_dir: Path,
    *,
    model: ModelProvider | None = None,
    access: AccessConfig | None = None,
    verified: bool = True,
    api: bool = True,
    safe: bool = False,
    **section: Any,
) -> AsyncIterator[WeChatWorld]:
    """Run everything until the block ends; `api` False: an account without a secret."""
    async with WeChatApiFake(verified=verified) as fake:
        given = {"api_base": fake.url} | ({"app_secret": APP_SECRET} if api else {})
        config = wechat_config(**given, **({"aes_key": AES_KEY} if safe else {}), **section)
        world = WeChatWorld(state_dir, fake, config, {"model": model, "access": access})
        async with asyncio.TaskGroup() as world._tasks, world.inner:
            try:
                await world.connected()
                yield world
            finally:
                await world.bridge.close()


__all__ = ["USER", "WeChatWorld", "wechat_config", "wechat_world"]
