"""A whole clawd in front of the fake Bot API, on a clock of the test's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from clawd.messages import Address
from tests.fakes.bot_api import TOKEN
from tests.fakes.inner import Inner

if TYPE_CHECKING:
    from pathlib import Path

    from bridges.telegram.bridge import TelegramBridge
    from clawd.ids import TurnId
    from clawd.models.base import ModelProvider, RoutedProvider
    from clawd.testing import ManualClock, ScriptedModel
    from tests.fakes.bot_api import FakeBotApi

PATIENCE_S = 30.0


def inside(
    state_dir: Path,
    bridge: TelegramBridge,
    model: ModelProvider | RoutedProvider,
    clock: ManualClock,
    **settings: Any,
) -> Inner:
    """Return the inside of a daemon with this bridge as its only one; more settings as `Inner` has them."""
    return Inner(state_dir, model=model, bridges=[cast("Any", bridge)], clock=clock, **settings)


def chat_address(chat: int, thread: int | None = None) -> Address:
    """Return the address of a chat of the fake's bot."""
    where = str(thread) if thread is not None else None
    return Address(bridge="telegram", account=TOKEN.partition(":")[0], chat=str(chat), thread=where)


async def asked(inner: Inner, api: FakeBotApi, model: ScriptedModel, chat: int, requests: int = 1) -> TurnId:
    """Let somebody ask in a chat; return the turn once its model is asked and somebody follows it."""
    api.user_says(chat, f"@{api.username} a question", sender=42)
    await model.asked(requests)
    async with asyncio.timeout(PATIENCE_S):
        while not inner.live_view._followers:
            await asyncio.sleep(0.001)
    return next(iter(inner.live_view._followers))


async def heard(inner: Inner, address: Address, text: str) -> None:
    """Return once the model's text is known to end like this."""
    async with asyncio.timeout(PATIENCE_S):
        while (live := inner.fanout.live(address)) is None or not live.text.endswith(text):
            await asyncio.sleep(0.001)


async def pass_time(inner: Inner, clock: ManualClock, seconds: float) -> None:
    """Let time pass; return when everybody who shows something has done so and waits."""
    await clock.advance(seconds)
    inner.journal.outgoing.set()
    followers = tuple(inner.live_view._followers.values())
    for follower in followers:
        follower.wake.set()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await inner.opened.store.ping()
            if all(f.wake.idle or f.over.is_set() for f in followers) and not inner.outbox._sending:
                return
            await asyncio.sleep(0.001)
