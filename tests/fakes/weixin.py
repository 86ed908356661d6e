"""A WeChat bridge in front of the fake iLink API, receiving into an inbox in memory."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridges.weixin.bridge import WeixinBridge
from bridges.weixin.config import WeixinConfig
from clawd.ids import DeliveryId
from clawd.messages import Address, OutboundMessage
from tests.fakes.bridge_context import bridge_context
from tests.fakes.ilink_api import USER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.conformance.inbox import MemoryInbox
    from clawd.ids import Clock
    from clawd.media import Artifacts
    from clawd.messages import Media
    from tests.fakes.ilink_api import FakeIlink


def write_login(folder: Path, ilink: FakeIlink, **fields: Any) -> None:
    """Keep a login as the command would."""
    folder.mkdir(parents=True, exist_ok=True)
    login = {"bot_id": ilink.bot_id, "token": ilink.token, "base_url": ilink.url, "user_id": USER}
    part = folder / "new"
    part.write_text(json.dumps({**login, **fields}))
    part.replace(folder / "login.json")


def weixin_bridge(
    ilink: FakeIlink,
    folder: Path,
    *,
    logged_in: bool = True,
    clock: Clock | None = None,
    artifacts: Artifacts | None = None,
    **settings: Any,
) -> WeixinBridge:
    """Return a bridge named `weixin`; `settings` are keys of its section."""
    if logged_in:
        write_login(folder, ilink)
    config = WeixinConfig.model_validate({"type": "weixin", **ilink.section, **settings})
    return WeixinBridge(bridge_context("weixin", clock=clock, artifacts=artifacts, state_dir=folder), config)


def outbound(
    ilink: FakeIlink,
    text: str,
    *,
    number: int = 1,
    user: str = USER,
    files: tuple[Media, ...] = (),
    kind: Any = "reply",
) -> OutboundMessage:
    """Return a reply to this user."""
    return OutboundMessage(
        id=DeliveryId(f"delivery:test-{number}"),
        address=Address(bridge="weixin", account=ilink.bot_id, chat=user),
        text=text,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        kind=kind,
        files=files,
    )


class Running:
    """A bridge at work: how often it said `ready`, and how it ended."""

    def __init__(self, bridge: WeixinBridge, inbox: MemoryInbox) -> None:
        self.bridge = bridge
        self.inbox = inbox
        self.ready = asyncio.Event()
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        try:
            await self.bridge.run(self.inbox, self.ready.set)
        except Exception as error:  # noqa: BLE001 - a test looks at it
            self.error = error

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def running(bridge: WeixinBridge, inbox: MemoryInbox) -> AsyncIterator[Running]:
    """Run a bridge beside the test, cancelled and closed at the end of the block."""
    state = Running(bridge, inbox)
    try:
        async with asyncio.TaskGroup() as tasks:
            state.task = tasks.create_task(state.run(), name="bridge:weixin")
            yield state
            await state.stop()
    except ExceptionGroup as group:  # what the block itself raised, as it is
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None
    finally:
        await bridge.close()
