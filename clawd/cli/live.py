"""Asks models and platforms whether they answer, with a configuration and without a daemon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clawd import __version__
from clawd.bridge import Bridge, BridgeContext, ClosableBridge, HttpBridge, OddBridge, Oddity, ProbeBridge
from clawd.errors import ClawdError, ModelUnavailable
from clawd.ids import SystemClock
from clawd.media import NoArtifacts
from clawd.models.base import ModelContext
from clawd.models.info import ModelInfo
from clawd.models.registry import build_models

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.config.schema import Config
    from clawd.models.presets import ServerPreset
    from clawd.plugins import Plugins

LIMIT_S = 30.0
_LEAST_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one of them said: a line that proves it, or why there is none."""

    name: str
    line: str = ""
    error: ClawdError | None = None
    silent_s: float | None = None  # so long nothing came; `error` says the same in words
    oddities: Sequence[Oddity] = ()  # of a bridge


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """A model with its answer; None when it was not asked."""

    info: ModelInfo
    answer: Answer | None


async def ask_models(
    config: Config,
    plugins: Plugins,
    environ: Mapping[str, str],
    *,
    wanted: Callable[[ModelInfo], bool] = lambda _: True,
    servers: Sequence[ServerPreset] | None = None,
    limit_s: float = LIMIT_S,
) -> list[ModelAnswer]:
    """Return every model, configured or found, in order; those that are wanted were asked, all at once."""
    until = time.monotonic() + limit_s
    context = ModelContext(
        network=config.network,
        limits=config.breaker,
        clock=SystemClock(),
        version=__version__,
        environ=environ,
    )
    models = await build_models(config, plugins.models, context, servers=servers)
    try:
        infos = models.infos()
        asked = {info.name: lambda name=info.name: models.probe(name) for info in infos if wanted(info)}
        left_s = max(until - time.monotonic(), _LEAST_S)
        answers = {answer.name: answer for answer in await _ask_all(asked, left_s)}
    finally:
        await models.close()
    return [ModelAnswer(info=info, answer=answers.get(info.name)) for info in infos]


async def ask_bridges(
    config: Config, plugins: Plugins, state_dir: Path, *, limit_s: float = LIMIT_S
) -> list[Answer]:
    """Return the answers of the bridges that are enabled and can be asked without receiving, all asked at once."""
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(
                ask_bridge(name, config, plugins, state_dir, limit_s=limit_s), name=f"probe:{name}"
            )
            for name, section in config.bridges.items()
            if section.enabled
        ]
    return [answer for task in asked if (answer := task.result()) is not None]


async def called_bridges(
    config: Config, plugins: Plugins, state_dir: Path, names: Sequence[str]
) -> list[str]:
    """Return those of the enabled bridges whose platform calls us, by way of the gateway."""
    found: list[str] = []
    for name in names:
        if config.bridges[name].enabled:
            bridge = make_bridge(name, config, plugins, state_dir)
            if isinstance(bridge, HttpBridge):
                found.append(name)
            await close_bridge(bridge)
    return found


def make_bridge(name: str, config: Config, plugins: Plugins, state_dir: Path) -> Bridge:
    """Return a configured bridge as the daemon would make it, but for files; raises ClawdError."""
    section = config.bridges[name]
    context = BridgeContext(
        name=name,
        network=section.network or config.network,
        clock=SystemClock(),
        version=__version__,
        artifacts=NoArtifacts(),
        state_dir=state_dir / "bridges" / name,
    )
    return plugins.bridges[section.type].create(context, section)


async def close_bridge(bridge: Bridge) -> None:
    """Free what a bridge holds."""
    if isinstance(bridge, ClosableBridge):
        await bridge.close()


async def ask_bridge(
    name: str, config: Config, plugins: Plugins, state_dir: Path, *, limit_s: float = LIMIT_S
) -> Answer | None:
    """Return the answer of one bridge, None if it can't be asked without receiving."""
    until = time.monotonic() + limit_s
    try:
        # In a thread: a platform's library may take half a second to import.
        bridge = await asyncio.to_thread(make_bridge, name, config, plugins, state_dir)
    except ClawdError as error:
        return Answer(name=name, error=error)
    try:
        if not isinstance(bridge, ProbeBridge):
            return None
        answer = await _ask(name, bridge.probe, max(until - time.monotonic(), _LEAST_S))
        if answer.error is None and isinstance(bridge, OddBridge):
            answer = replace(
                answer, oddities=await _oddities(bridge, max(until - time.monotonic(), _LEAST_S))
            )
        return answer
    finally:
        await close_bridge(bridge)


async def _oddities(bridge: OddBridge, limit_s: float) -> Sequence[Oddity]:
    """Return what is odd at the platform; a look that fails after it answered well tells nothing."""
    try:
        async with asyncio.timeout(limit_s):
            return await bridge.oddities()
    except (TimeoutError, ClawdError):
        return ()


async def _ask_all(asked: Mapping[str, Callable[[], Awaitable[str]]], limit_s: float) -> list[Answer]:
    async with asyncio.TaskGroup() as tasks:
        found = [
            tasks.create_task(_ask(name, probe, limit_s), name=f"probe:{name}")
            for name, probe in asked.items()
        ]
    return [task.result() for task in found]


async def _ask(name: str, probe: Callable[[], Awaitable[str]], limit_s: float) -> Answer:
    try:
        async with asyncio.timeout(limit_s):
            return Answer(name=name, line=await probe())
    except TimeoutError:
        error = ModelUnavailable(name, "no answer", where=name, why=f"silent for {limit_s:g} s")
        return Answer(name=name, error=error, silent_s=limit_s)
    except ClawdError as error:
        return Answer(name=name, error=error)
