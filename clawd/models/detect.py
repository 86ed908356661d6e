"""What can be used when no model is configured: keys, servers on loopback, the local model, the demo."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from pydantic import ValidationError

from clawd.config.base import Secret
from clawd.config.schema import NetworkConfig
from clawd.errors import ConfigError, ConfigProblem
from clawd.models.presets import ProviderPreset, load_presets
from clawd.network import client_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.config.presets import ModelEntry, Preset, Variables
    from clawd.config.schema import ModelConfig
    from clawd.models.base import ModelPlugin
    from clawd.models.presets import Presets, ServerPreset

PROBE_S: Final = 0.4  # for all servers together
_PROBE_BYTES: Final = 512 * 1024
_SERVED = "chat"  # what every one of the servers speaks
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
    *,
    one: bool = False,
) -> list[Found]:
    """Return what was found, best first; the last is always the demo model. With `one`, the best alone.

    The bundled local model and the demo answer by themselves only when nothing better was found: a
    toy's answer instead of an error would hide the error.

    Args:
        environ: Where keys are looked for.
        plugins: The model types that exist; a missing type is passed over.
        servers: The loopback ports to ask, those of the presets by default.
        one: Look no further than the first that is found.

    Raises:
        ConfigError: a variable that moves a provider's address holds none.
    """
    presets = load_presets()
    models = from_environment(environ, plugins)
    if not (one and models):
        models += await _from_loopback(presets, plugins, presets.servers if servers is None else servers)
    found = [Found(config=config, found=origin, standby=True) for config, origin in models]
    for kind, origin in ((_LOCAL, "installed"), (_DEMO, "built in")):
        if kind in plugins and (kind != _LOCAL or _local_installed()):
            config = _complete({"name": kind, "type": kind}, None, plugins, _no_variables)
            found.append(Found(config=config, found=origin, standby=not found))
    return found[:1] if one else found


def _local_installed() -> bool:
    from clawd.models.local_config import missing_parts

    return not missing_parts(None)


def from_environment(
    environ: Mapping[str, str], plugins: Mapping[str, ModelPlugin[Any]]
) -> list[tuple[ModelConfig, str]]:
    """Return a model of each provider whose key is in the environment, best first, and where it was found."""
    found: list[tuple[ModelConfig, str]] = []

    def variables(name: str) -> str | None:
        return environ.get(name, "").strip() or None

    for preset in load_presets().providers:
        entry: ModelEntry = {"name": preset.name, "preset": preset.name}
        variable = preset.key_variable(variables)
        if variable is not None and preset.type_of(entry, variables) in plugins:
            config = _complete(entry, preset, plugins, variables)
            found.append((config, f"environment {variable}"))
    return found


def _complete(
    entry: ModelEntry, preset: Preset | None, plugins: Mapping[str, ModelPlugin[Any]], variables: Variables
) -> ModelConfig:
    """Return the model that an entry with so little in it would be in a configuration."""
    data: dict[str, Any] = dict(entry)
    kind = preset.type_of(entry, variables) if preset is not None else str(entry["type"])
    model = plugins[kind].config
    if preset is not None:
        for key, addition in preset.fill(entry, model.model_fields, variables).additions.items():
            secret = addition.secret and isinstance(addition.value, str)
            data[key] = Secret(str(addition.value), addition.origin) if secret else addition.value
    if (price := load_presets().price(data)) is not None:
        data["price"] = price.value
    try:
        config: ModelConfig = model.model_validate(data)
    except ValidationError as error:
        raise _refused(preset, variables, error) from error
    return config


def _refused(preset: Preset | None, variables: Variables, error: ValidationError) -> ConfigError:
    """Return the error for a variable of the environment that holds something unusable."""
    names = [preset.base_url_env, preset.model_env] if isinstance(preset, ProviderPreset) else []
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    said = " or ".join(name for name in names if name and variables(name))
    return ConfigError(
        [
            ConfigProblem(
                path=f"environment {said}",
                key=".".join(map(str, first["loc"])),
                message=f"the model {preset.name if preset else ''} can't be used: {message}",
                remedy=f"mend or unset {said}",
            )
        ]
    )


def _no_variables(_name: str) -> None:
    return None


async def _from_loopback(
    presets: Presets, plugins: Mapping[str, ModelPlugin[Any]], servers: Sequence[ServerPreset]
) -> list[tuple[ModelConfig, str]]:
    """Ask all servers at once; whoever has not answered in time is not there."""
    if _SERVED not in plugins:
        return []
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
            _complete(
                {"name": server.name, "preset": server.name, "model": answers[server.name]},
                server,
                plugins,
                _no_variables,
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
