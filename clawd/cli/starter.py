"""The first configuration: what `clawd init` writes for given choices. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from clawd.errors import EXIT_USAGE, ClawdError

if TYPE_CHECKING:
    from clawd.models.presets import Presets, ProviderPreset

AUTO: Final = "auto"
LOCAL: Final = "local"
DEMO: Final = "demo"
CONFIG_FILE: Final = "config.yaml"
SECRETS: Final = "secrets"


class ChoiceRefused(ClawdError):
    """What was chosen can't be written."""

    code = "E-CHOICE"
    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The answers. `provider` is auto, local, demo, the name of a preset, or the base URL of an own endpoint."""

    provider: str = AUTO
    model: str | None = None  # None: the preset's
    key: str | None = None  # kept in a file of its own
    key_variable: str | None = None  # instead of `key`: read from the environment at each start
    telegram_token: str | None = None
    telegram_api: str | None = None  # None: Telegram's own


def starter_files(choices: Choices, presets: Presets) -> dict[str, str]:
    """Return the files to write, by path within the configuration's folder; `config.yaml` is the first.

    Raises:
        ChoiceRefused: there is no such provider, or something that it needs is missing.
    """
    secrets: dict[str, str] = {}
    parts = [_HEAD, _models(choices, presets, secrets)]
    if choices.telegram_token:
        secrets[f"{SECRETS}/telegram_token"] = choices.telegram_token
        section: dict[str, object] = {"token": {"file": f"{SECRETS}/telegram_token"}}
        if choices.telegram_api:
            section["api_base"] = choices.telegram_api
        parts.append(yaml.safe_dump({"bridges": {"telegram": section}}))
    parts.append(_REST)
    return {CONFIG_FILE: "\n".join(parts), **{path: f"{value}\n" for path, value in secrets.items()}}


def preset_of(provider: str, presets: Presets) -> ProviderPreset | None:
    """Return the provider's preset, None for auto, local, demo, model servers and URLs; raises ChoiceRefused."""
    servers = [server.name for server in presets.servers]
    if provider in (AUTO, LOCAL, DEMO, *servers) or re.match(r"https?://\S+$", provider):
        return None
    preset = next((preset for preset in presets.providers if preset.name == provider), None)
    if preset is None:
        names = ", ".join((AUTO, *(preset.name for preset in presets.providers), *servers, LOCAL, DEMO))
        raise ChoiceRefused(f"there is no provider {provider!r}", remedy=f"one of {names}, or a base URL")
    return preset


def _models(choices: Choices, presets: Presets, secrets: dict[str, str]) -> str:
    preset = preset_of(choices.provider, presets)
    if choices.provider == AUTO:
        return _AUTO
    model: dict[str, object]
    if choices.provider in (LOCAL, DEMO):
        model = {"name": choices.provider, "type": choices.provider}
    elif server := next((server for server in presets.servers if server.name == choices.provider), None):
        if server.names_models and not choices.model:
            raise _no_model(
                f"{server.name} serves several models, and needs the name of one", server.base_url
            )
        model = {"name": server.name, "preset": server.name}
        if choices.model:
            model["model"] = choices.model
    elif preset is None:
        if not choices.model:
            raise _no_model("an endpoint of your own needs the name of a model", choices.provider)
        model = {
            "name": "main",
            "type": "chat",
            "base_url": choices.provider.rstrip("/"),
            "model": choices.model,
        }
    else:
        model = {
            "name": preset.name,
            "preset": preset.name,
            "model": choices.model or preset.model,  # written down, so that a newer clawd changes nothing
        }
        if not choices.key and not choices.key_variable:
            raise ChoiceRefused(
                f"{preset.name} needs an API key", remedy=f"set {preset.keys[0]}, or use --api-key-file FILE"
            )
    if choices.key:
        path = f"{SECRETS}/{model['name']}_api_key"
        secrets[path] = choices.key
        model["api_key"] = {"file": path}
    elif choices.key_variable:
        model["api_key"] = {"env": choices.key_variable}
    return yaml.safe_dump({"models": [model]}, sort_keys=False, allow_unicode=True)


def _no_model(what: str, where: str) -> ChoiceRefused:
    return ChoiceRefused(what, where=where, remedy="the same command with --model NAME")


_HEAD: Final = """\
# Written by `clawd init`. `clawd config check` proves it, `clawd config show --origin` tells what is in force,
# and config.example.yaml explains every key. A running clawd takes a saved change over within a second.
"""
_AUTO: Final = """\
# No `models`: at each start clawd takes the keys in the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY …), a model
# server on this host (Ollama, llama.cpp, LM Studio, vLLM), the bundled local model, or at last the demo.
"""
_REST: Final = """\
gateway:
  host: 127.0.0.1
  port: 7373

access:
  default: pair     # strangers get a code; `clawd pair approve CODE --owner` lets you in
"""
