"""Model type `chat`: anything that speaks OpenAI chat completions. The plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.models.base import ModelPlugin
from clawd.models.chat_config import ChatConfig

if TYPE_CHECKING:
    from clawd.models.base import ManagedProvider, ModelContext


def create(context: ModelContext, config: ChatConfig) -> ManagedProvider:
    """Return the provider; aiohttp is imported only now, since `clawd config check` needs none."""
    from clawd.models.chat_wire import ChatFormat
    from clawd.models.wire_client import WireProvider

    return WireProvider(context, config, ChatFormat())


PLUGIN = ModelPlugin(type="chat", config=ChatConfig, create=create)
