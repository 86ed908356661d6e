from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from clawd.config.schema import BreakerConfig, NetworkConfig
from clawd.ids import Clock, SystemClock
from clawd.messages import Text
from clawd.models.base import ManagedProvider, ModelContext, ModelRequest, UserMessage
from clawd.models.chat import PLUGIN
from clawd.models.chat_config import ChatConfig


def make_context(clock: Clock | None = None, **limits: float) -> ModelContext:
    return ModelContext(
        network=NetworkConfig(),
        limits=BreakerConfig(**limits),  # type: ignore[arg-type]
        clock=clock or SystemClock(),
        version="0.0",
        environ={},
    )


def ask(text: str = "hi", **more: Any) -> ModelRequest:
    return ModelRequest(messages=(UserMessage((Text(text),)),), **more)


MakeChat = Callable[..., ManagedProvider]


@pytest.fixture
async def make_chat() -> AsyncIterator[MakeChat]:
    """Makes chat providers that are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(
            base_url: str, name: str = "main", clock: Clock | None = None, **settings: Any
        ) -> ManagedProvider:
            config = ChatConfig(name=name, type="chat", base_url=base_url, **settings)
            provider = PLUGIN.create(make_context(clock), config)
            stack.push_async_callback(provider.close)
            return provider

        yield make
