"""What can be used when no model is configured: keys, servers on loopback, the local model, the demo."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from clawd.config.base import Secret
from clawd.config.schema import NetworkConfig
from clawd.models.presets import load_presets
from clawd.network import client_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.config.schema import ModelConfig
    from clawd.models.base import ModelPlugin
    from clawd.models.presets import Presets, ProviderPreset, ServerPreset

PROBE_S: Final = 0.4  # for all servers together
_PROBE_BYTES: Final = 512 * 1024
_LOCAL = "local"
_DEMO = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One model that could be used. `found` tells where it comes from, in words for people."""

    config: ModelConfig
    found: str
    standby: bool  # False: listed, but only used when a person asks for it by name


async def detect_models(
    environ: Mapping[str, str],
    plugins: Mapping[str, ModelPlugin[Any]],
    servers: Sequence[ServerPreset] | None = None,
) -> list[Found]:
    """Return what was found, best first; the last is always the demo model.

    The bundled local model and the demo answer by themselves only when nothing better was found: a
    toy's answer instead of an error would hide the error.

    Args:
        environ: Where keys are looked for.
        plugins: The model types that exist; a missing type is passed over.
        servers: The loopback ports to ask, those of the presets by default.
    """
    presets = load_presets()
    models: list[tuple[ModelConfig, str]] = []
    if (chat := plugins.get("chat")) is not None:
        models += _from_environment(chat, environ, presets.providers)
        models += await _from_loopback(chat, presets, presets.servers if servers is None else servers)
    found = [Found(config=config, found=origin, standby=True) for config, origin in models]
    for kind, origin in ((_LOCAL, "installed"), (_DEMO, "built in")):
        plugin = plugins.get(kind)
        if plugin is not None and (kind != _LOCAL or _local_installed()):
            config = plugin.config(name=kind, type=kind)
            found.append(Found(config=config, found=origin, standby=not found))
    return found


def _local_installed() -> bool:
    from clawd.models.local_config import missing_parts

    return not missing_parts(None)


def _from_environment(
    chat: ModelPlugin[Any], environ: Mapping[str, str], providers: Sequence[ProviderPreset]
) -> list[tuple[ModelConfig, str]]:
    found: list[tuple[ModelConfig, str]] = []
    for preset in providers:
        variable = next((key for key in preset.keys if environ.get(key, "").strip()), None)
        if variable is None:
            continue
        origin = f"environment {variable}"
        config = chat.config(
            name=preset.name,
            type="chat",
            base_url=_set(environ, preset.base_url_env) or preset.base_url,
            api_key=Secret(environ[variable].strip(), origin),
            model=_set(environ, preset.model_env) or preset.model,
            max_tokens_field=preset.max_tokens_field,
        )
        found.append((config, origin))
    return found


def _set(environ: Mapping[str, str], variable: str | None) -> str:
    return environ.get(variable, "").strip() if variable else ""


async def _from_loopback(
    chat: ModelPlugin[Any], presets: Presets, servers: Sequence[ServerPreset]
) -> list[tuple[ModelConfig, str]]:
    """Ask all servers at once; whoever has not answered in time is not there."""
    answers: dict[str, str] = {}
    async with client_session(NetworkConfig()) as session:

        async def ask(server: ServerPreset) -> None:
            if model := await _first_model(session, server.port, presets):
                answers[server.name] = model

        try:
            async with asyncio.timeout(PROBE_S), asyncio.TaskGroup() as group:
                for server in servers:
                    group.create_task(ask(server), name=f"probe:{server.name}")
        except TimeoutError:
            pass
    return [
        (
            chat.config(
                name=server.name,
                type="chat",
                base_url=f"http://127.0.0.1:{server.port}/v1",
                model=answers[server.name],
                first_token_timeout_s=120,  # a server at home loads its model at the first request
            ),
            "loopback",
        )
        for server in servers
        if server.name in answers
    ]


async def _first_model(session: aiohttp.ClientSession, port: int, presets: Presets) -> str | None:
    """Return the first model there that may chat, None when this is no model server."""
    try:
        async with session.get(f"http://127.0.0.1:{port}/v1/models", allow_redirects=False) as response:
            if response.status != 200:
                return None
            value = json.loads(await response.content.read(_PROBE_BYTES))
    except (aiohttp.ClientError, OSError, ValueError, RecursionError):
        return None
    data = value.get("data") if isinstance(value, dict) else None
    names = [item.get("id") for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    return next((name for name in names if isinstance(name, str) and name and presets.chats(name)), None)
