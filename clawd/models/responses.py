"""Model type `responses`: anything that speaks OpenAI's Responses. The plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.models.base import ModelPlugin
from clawd.models.responses_config import ResponsesConfig

if TYPE_CHECKING:
    from clawd.models.base import ManagedProvider, ModelContext


def create(context: ModelContext, config: ResponsesConfig) -> ManagedProvider:
    """Return the provider; aiohttp is imported only now, since `clawd config check` needs none."""
    from clawd.models.responses_wire import REFUSED_REASONING, ResponsesFormat
    from clawd.models.thinking_provider import ThinkingProvider

    return ThinkingProvider(context, config, ResponsesFormat(), REFUSED_REASONING)


PLUGIN = ModelPlugin(type="responses", config=ResponsesConfig, create=create)
