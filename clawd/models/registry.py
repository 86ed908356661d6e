"""All models of this daemon: built from the configuration or found, routed, closed together."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from clawd.config.schema import PriceConfig
from clawd.config.secrecy import secrets_in
from clawd.errors import NotFound
from clawd.models.base import RunningProvider
from clawd.models.breaker import BreakerLimits
from clawd.models.detect import Found, detect_models
from clawd.models.member import Member
from clawd.models.pacing import KeyPauses, PaceLimits
from clawd.models.router import Route, Router
from clawd.models.traffic import TrafficBook
from clawd.models.windows import DEFAULT_ROUTE, ModelSize, Windows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from clawd.config.schema import Config, ModelConfig
    from clawd.ids import Clock
    from clawd.models.base import ModelContext, ModelPlugin, RoutedProvider
    from clawd.models.info import ModelInfo
    from clawd.models.ledger import Ledger
    from clawd.models.paces import Paces
    from clawd.models.presets import ServerPreset
    from clawd.models.states import StateCache

log = logging.getLogger(__name__)

_AT_HOME: Final = frozenset({"local", "demo"})  # types that nobody sends a bill for


class ModelSet:
    """The models of one configuration. `run` it beside the agent, `close` it when nothing uses it."""

    def __init__(
        self,
        members: Sequence[Member],
        routes: Mapping[str, Route],
        clock: Clock,
        *,
        ledger: Ledger | None = None,
        traffic: TrafficBook | None = None,
    ) -> None:
        self._members = {member.name: member for member in members}
        self._routes = {name: route.models for name, route in routes.items()}
        self._traffic = traffic or TrafficBook(clock)
        self.router: RoutedProvider = Router(
            self._members, routes, clock, ledger=ledger, traffic=self._traffic
        )
        self.windows = Windows({member.name: member.size for member in members}, self._routes)

    @property
    def routes(self) -> Mapping[str, tuple[str, ...]]:
        """Each route's models in order; `default` is always there."""
        return self._routes

    @property
    def names(self) -> Collection[str]:
        """Every model, in order."""
        return self._members.keys()

    def infos(self) -> tuple[ModelInfo, ...]:
        """Return every model with its state and its counts, in order."""
        return tuple(
            replace(
                member.info(
                    tuple(route for route, names in self._routes.items() if member.name in names),
                    self._traffic.view(member.name),
                ),
                window_found=self.windows.found(member.name),
            )
            for member in self._members.values()
        )

    async def probe(self, name: str) -> str:
        """Return one line that proves the model answers; raises NotFound, ModelError."""
        member = self._members.get(name)
        if member is None:
            raise NotFound(
                f"there is no model {name!r}",
                why=f"known are {', '.join(self._members)}",
                remedy="clawd models list",
            )
        return await member.probe()

    async def run(self) -> None:
        """Do what models do between requests (end an idle local one) until cancelled.

        Returns at once when no model has such work.
        """
        async with asyncio.TaskGroup() as group:
            for member in self._members.values():
                if isinstance(member.provider, RunningProvider):
                    group.create_task(member.provider.run(), name=f"model:{member.name}")

    async def close(self) -> None:
        """Free sockets and children; requests under way fail."""
        async with asyncio.TaskGroup() as group:
            for member in self._members.values():
                group.create_task(member.provider.close(), name=f"close:{member.name}")


async def build_models(
    config: Config,
    plugins: Mapping[str, ModelPlugin[Any]],
    context: ModelContext,
    *,
    servers: Sequence[ServerPreset] | None = None,
    ledger: Ledger | None = None,
    states: StateCache | None = None,
    traffic: TrafficBook | None = None,
    pauses: KeyPauses | None = None,
    paces: Paces | None = None,
) -> ModelSet:
    """Return the configured models, or, when none is, what `detect_models` finds.

    Args:
        config: Already validated: routes name known models, types exist.
        plugins: Model types by name.
        context: Handed to each provider.
        servers: Loopback ports to ask when nothing is configured; those of the presets by default.
        ledger: Knows what is spent; without it there are no budgets.
        states: Where breakers go on from; without it they begin closed.
        traffic: Counts what goes through the models, also through those of earlier configurations.
        pauses: Of keys that were told to slow down; also of earlier configurations.
        paces: What went through the models' own limits; also of earlier configurations.
    """
    if config.models:
        found = [Found(config=model, found="config", standby=True) for model in config.models]
    else:
        found = await detect_models(context.environ, plugins, servers, one=config.profile == "edge")
    # One provider may echo the key of another: that of a bridge, or one that was found in the environment.
    context.redactor.add(
        secret for part in (config, *(f.config for f in found)) for secret in secrets_in(part)
    )
    pauses = pauses or KeyPauses(context.clock)
    members = [
        Member(
            plugins[f.config.type].create(context, f.config),
            context.clock,
            BreakerLimits.of(context.limits, f.config),
            kind=f.config.type,
            found=f.found,
            size=_size(f.config),
            price=_price(f.config),
            pace=PaceLimits.of(f.config),
            pauses=pauses,
            states=states,
        )
        for f in found
    ]
    if paces is not None:
        for member in members:  # once all are made: what is refused must not touch the limits in force
            member.paced.share(paces, member.identity)
    routes = {name: Route.of(route, hedge=config.breaker.hedge) for name, route in config.routes.items()}
    standing_by = tuple(f.config.name for f in found if f.standby)
    routes.setdefault(DEFAULT_ROUTE, Route(models=standing_by, hedge=config.breaker.hedge))
    known = {f.config.name for f in found}
    for name, route in routes.items():
        if missing := [model for model in route.models if model not in known]:
            log.warning("route_names_unknown_models", extra={"route": name, "models": missing})
    return ModelSet(members, routes, context.clock, ledger=ledger, traffic=traffic)


def _price(config: ModelConfig) -> PriceConfig | None:
    """Return what a model costs, None where nobody knows; what runs on this computer costs nothing."""
    if config.price is None and config.type in _AT_HOME:
        return PriceConfig(input=0, output=0)
    return config.price


def _size(config: ModelConfig) -> ModelSize:
    context_tokens, max_tokens, vocabulary = config.size()
    return ModelSize(context_tokens=context_tokens, max_tokens=max_tokens, vocabulary=vocabulary)
