"""Model type `anthropic`: anything that speaks Anthropic's Messages. The plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.models.anthropic_config import AnthropicConfig
from clawd.models.base import ModelPlugin

if TYPE_CHECKING:
    from clawd.models.base import ManagedProvider, ModelContext


def create(context: ModelContext, config: AnthropicConfig) -> ManagedProvider:
    """Return the provider; aiohttp is imported only now, since `clawd config check` needs none."""
    from clawd.models.anthropic_wire import REFUSED_THINKING, AnthropicFormat
    from clawd.models.thinking_provider import ThinkingProvider

    return ThinkingProvider(context, config, AnthropicFormat(config.beta), REFUSED_THINKING)


PLUGIN = ModelPlugin(type="anthropic", config=AnthropicConfig, create=create)
