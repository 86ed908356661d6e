"""What turns think with: models and tools as the configuration in force says."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clawd import __version__
from clawd.agent.brain import Brain
from clawd.agent.choosing import names_of
from clawd.commands import parse
from clawd.models.base import ModelContext, RequestTags
from clawd.models.budgets import day_limits
from clawd.models.paces import Paces
from clawd.models.pacing import KeyPauses
from clawd.models.registry import build_models
from clawd.models.routing import prefixes_of
from clawd.models.traffic import TrafficBook
from clawd.models.windows import DEFAULT_ROUTE
from clawd.tools.registry import Toolbox, tool_site

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from clawd.config.loader import LoadedConfig
    from clawd.config.schema import Config
    from clawd.daemon.states import KeptStates
    from clawd.ids import Clock
    from clawd.media import Artifacts
    from clawd.models.budgets import BudgetLedger
    from clawd.models.info import ModelInfo
    from clawd.models.registry import ModelSet
    from clawd.observability.redact import Redactor
    from clawd.plugins import Plugins

log = logging.getLogger(__name__)

_OUT_OF_SERVICE: Final = ("closed", "half_open", "rest", "open")  # states of a breaker, the least so first


class Minds:
    """The brain in force, and the earlier ones that turns under way still use.

    What is known of the models outlives a configuration: their traffic, what went through their limits, the
    pauses of their keys, the states of their breakers.
    """

    def __init__(
        self,
        plugins: Plugins,
        environ: Mapping[str, str],
        clock: Clock,
        *,
        state_dir: Path,
        states: KeptStates,
        ledger: BudgetLedger,
        redactor: Redactor,
        files: Artifacts,
    ) -> None:
        self.traffic = TrafficBook(clock)
        self._pauses = KeyPauses(clock)
        self._paces = Paces()
        self._states = states
        self._plugins = plugins
        self._environ = environ
        self._clock = clock
        self._state_dir = state_dir
        self._ledger = ledger
        self._redactor = redactor
        self._files = files
        self._models: ModelSet | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._brain: Brain | None = None
        self._names: tuple[str, ...] = ()  # these two are asked for at each message
        self._prefixes: Mapping[str, str] = {}

    async def configure(
        self, loaded: LoadedConfig, tasks: asyncio.TaskGroup, users: Collection[asyncio.Task[None]] = ()
    ) -> None:
        """Think by this configuration from now on.

        Args:
            loaded: The configuration.
            tasks: Owns what models do between requests.
            users: Turns and direct requests under way, which keep the models that they began with.
        """
        config, tools = loaded.config, await self._tools(loaded)
        context = ModelContext(
            network=config.network,
            limits=config.breaker,
            clock=self._clock,
            version=__version__,
            environ=self._environ,
            redactor=self._redactor,
            files=self._files,
        )
        await self._states.read()
        models = await build_models(
            config,
            self._plugins.models,
            context,
            ledger=self._ledger,
            states=self._states,
            traffic=self.traffic,
            pauses=self._pauses,
            paces=self._paces,
        )
        old, upkeep = self._models, self._upkeep
        self._models = models
        self._upkeep = tasks.create_task(models.run(), name="models")
        self._set(config, models, tools)
        if old is not None and upkeep is not None:
            tasks.create_task(_retire(old, upkeep, users), name="retire-models")

    async def adjust(self, loaded: LoadedConfig) -> None:
        """Take over instructions, limits and tools; the models stay."""
        if self._models is None:
            raise RuntimeError("models are configured first")
        models = self._models
        self._set(loaded.config, models, await self._tools(loaded))

    async def _tools(self, loaded: LoadedConfig) -> Toolbox:
        # In a thread: a tool is imported, and may have to run a program to learn whether it works here.
        site = tool_site(loaded, self._state_dir, self._environ)
        return await asyncio.to_thread(Toolbox.build, self._plugins.tools, loaded.config.tools, site)

    def _set(self, config: Config, models: ModelSet, tools: Toolbox) -> None:
        self._ledger.configure(config.budgets, day_limits(config.models))
        self._brain = Brain(
            agent=config.agent,
            router=models.router,
            models=self.route(models),
            routes=config.routes,
            tools=tools,
            asking=config.tools,
            windows=models.windows,
            notice=self._ledger.notice,
        )
        self._names = names_of(self._brain.models, (DEFAULT_ROUTE, *config.routes))
        self._prefixes = {
            prefix: route
            for prefix, route in prefixes_of(config.routes).items()
            if parse(prefix, (prefix,)) is None
        }

    @staticmethod
    def route(models: ModelSet) -> tuple[str, ...]:
        """Return the models' names, those of the default route first and in its order."""
        return names_of(models.routes[DEFAULT_ROUTE], models.names)

    def brain(self) -> Brain:
        """Return what a turn that begins now works with."""
        if self._brain is None:
            raise RuntimeError("a turn began before models were configured")
        return self._brain

    def names(self) -> tuple[str, ...]:
        """Return what a message or a conversation may ask for: models and routes."""
        return self._names

    def prefixes(self) -> Mapping[str, str]:
        """Return what messages may begin with to take a route, each with that route; no command does that."""
        return self._prefixes

    def default_route(self) -> tuple[str, ...]:
        """Return the names of the default route's models, in order."""
        return self._models.routes[DEFAULT_ROUTE] if self._models else ()

    def infos(self) -> Sequence[ModelInfo]:
        """Return every model with its counts."""
        return [self._with_budget(info) for info in self._models.infos()] if self._models else ()

    def _with_budget(self, info: ModelInfo) -> ModelInfo:
        """Return the same with the budget that is spent, if one is that everybody's requests count against."""
        room = self._ledger.room(info.name, RequestTags())
        free = info.price is not None and not (
            info.price.input or info.price.output or info.price.cache_write
        )
        return info if room.used < 1 or free else replace(info, spent=room.budget, spent_until=room.ends_at)

    async def probe(self, name: str) -> str:
        """Return one line that proves that a model answers; raises NotFound, ModelError."""
        if self._models is None:
            raise RuntimeError("models are configured first")
        return await self._models.probe(name)

    async def close(self) -> None:
        """Free sockets and children; doing it twice is fine."""
        models, self._models = self._models, None
        if self._upkeep is not None:
            self._upkeep.cancel()
        if models is not None:
            await models.close()


def would_answer(route: Sequence[str], infos: Sequence[ModelInfo]) -> str | None:
    """Return which model of a route a request would go to first: one that is in service before one that is not.

    A route's own strategy may choose another among those that are in service. Where all are out of service it is the
    route's first; None where it has none.
    """
    known = {info.name: info for info in infos}
    return min(
        (name for name in route if name in known),
        key=lambda name: (bool(known[name].spent), _OUT_OF_SERVICE.index(known[name].breaker.state)),
        default=None,
    )


async def _retire(
    models: ModelSet, upkeep: asyncio.Task[None], users: Collection[asyncio.Task[None]]
) -> None:
    """Close models as soon as the turns that began with them are over."""
    if users:
        await asyncio.wait(users)
    upkeep.cancel()
    await models.close()
    log.info("models_retired")
