from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from clawd.config.schema import BreakerConfig, NetworkConfig
from clawd.errors import ModelUnavailable
from clawd.ids import Clock, SystemClock
from clawd.messages import Text
from clawd.models.base import (
    ManagedProvider,
    ModelContext,
    ModelEvent,
    ModelRequest,
    ModelResponse,
    UserMessage,
    collect,
)
from clawd.models.chat import PLUGIN
from clawd.models.chat_config import ChatConfig
from tests.fakes.openai_api import FakeOpenAI, Reply


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


async def answered(
    make_chat: MakeChat, reply: Reply, **settings: Any
) -> tuple[ModelResponse, list[ModelEvent]]:
    """Return what a model behind this reply answers, and the events on the way."""
    events: list[ModelEvent] = []
    async with FakeOpenAI(reply) as api:
        response = await collect(make_chat(api.base_url, **settings), ask(), events.append)
    return response, events


async def failed(make_chat: MakeChat, reply: Reply, **settings: Any) -> ModelUnavailable:
    """Return the error that this reply comes to."""
    with pytest.raises(ModelUnavailable) as caught:
        await answered(make_chat, reply, **settings)
    return caught.value


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
