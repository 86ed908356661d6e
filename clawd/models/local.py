"""Model type `local`: a GGUF file run by llama.cpp in a child process. The plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.models.base import ModelPlugin
from clawd.models.local_config import LocalConfig

if TYPE_CHECKING:
    from clawd.models.base import ManagedProvider, ModelContext


def create(context: ModelContext, config: LocalConfig) -> ManagedProvider:
    """Return the provider; nothing is started before the first request."""
    from clawd.models.local_provider import LocalProvider

    return LocalProvider(context, config)


PLUGIN = ModelPlugin(type="local", config=LocalConfig, create=create)
