"""Model type `completion`: anything that speaks OpenAI's older text completions. The plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.models.base import ModelPlugin
from clawd.models.completion_config import CompletionConfig

if TYPE_CHECKING:
    from clawd.models.base import ManagedProvider, ModelContext


def create(context: ModelContext, config: CompletionConfig) -> ManagedProvider:
    """Return the provider; aiohttp is imported only now, since `clawd config check` needs none."""
    from clawd.models.completion_wire import CompletionFormat
    from clawd.models.wire_client import WireProvider

    return WireProvider(context, config, CompletionFormat())


PLUGIN = ModelPlugin(type="completion", config=CompletionConfig, create=create)
