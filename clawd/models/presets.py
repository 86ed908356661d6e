"""The table of known providers and model servers, read from `presets.yaml`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

import yaml

from clawd.config.base import Section


class ProviderPreset(Section):
    """A provider that a key in the environment switches on."""

    name: str
    base_url: str
    keys: tuple[str, ...]
    model: str
    model_env: str
    base_url_env: str | None = None
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"


class ServerPreset(Section):
    """A model server that may run on this host."""

    name: str
    port: int


class Presets(Section):
    """The whole table; order is preference."""

    providers: tuple[ProviderPreset, ...]
    servers: tuple[ServerPreset, ...]
    not_chat: tuple[str, ...]

    def chats(self, model: str) -> bool:
        """Whether a model's name gives no reason to think that it can't chat."""
        name = model.lower()
        return not any(part in name for part in self.not_chat)


@cache
def load_presets() -> Presets:
    """Return the table; read from the package once."""
    text = resources.files("clawd.models").joinpath("presets.yaml").read_text(encoding="utf-8")
    return Presets.model_validate(yaml.safe_load(text))
