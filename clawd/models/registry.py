"""All models of this daemon: built from the configuration or found, routed, counted, closed together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from clawd.errors import ModelError, ModelsExhausted, ModelUnavailable, NotFound
from clawd.models.base import Completed, DescribedProvider, ModelInfo, Reserve, RunningProvider
from clawd.models.detect import Found, detect_models
from clawd.models.fallback import Fallback
from clawd.models.tool_calls import without_tools
from clawd.models.windows import DEFAULT_ROUTE, ModelSize, Windows, order_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from clawd.config.schema import Config, ModelConfig
    from clawd.ids import Clock
    from clawd.models.base import (
        ManagedProvider,
        ModelContext,
        ModelEvent,
        ModelPlugin,
        ModelProvider,
        ModelRequest,
        RoutedProvider,
    )
    from clawd.models.presets import ServerPreset

log = logging.getLogger(__name__)


class Member:
    """One model of the set: requests fitted to what it can, calls counted. A `ModelProvider` itself."""

    def __init__(
        self, provider: ManagedProvider, *, kind: str, found: str, size: ModelSize | None = None
    ) -> None:
        self.name = provider.name
        self.provider = provider
        self.calls = 0
        self.errors = 0
        self.last_error = ""
        self.size = size if size is not None else ModelSize()
        self._kind = kind
        self._found = found

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        fitted = request if self.provider.offers_tools else without_tools(request)
        self.calls += 1
        try:
            async with aclosing(self.provider.stream(fitted)) as events:
                async for event in events:
                    if isinstance(event, Completed):
                        self.last_error = ""
                    yield event
        except ModelError as error:
            self.errors += 1
            self.last_error = str(error)
            raise

    def info(self, routes: tuple[str, ...]) -> ModelInfo:
        """Return what is known about this model, as of now."""
        described = self.provider if isinstance(self.provider, DescribedProvider) else None
        return ModelInfo(
            name=self.name,
            type=self._kind,
            model=described.model if described else self.name,
            place=described.place if described else "",
            found=self._found,
            routes=routes,
            calls=self.calls,
            errors=self.errors,
            last_error=self.last_error,
        )


class Router:
    """Answers a request by its route, or first by the model that the request pins."""

    name = "router"

    def __init__(
        self, members: Mapping[str, ModelProvider], routes: Mapping[str, Sequence[str]], clock: Clock
    ) -> None:
        self._members = members
        self._routes = routes
        self._clock = clock

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        order = Fallback(request.route, [self._members[name] for name in self._order(request)], self._clock)
        async with aclosing(order.stream(request)) as events:
            async for event in events:
                yield event

    def reserve(self, request: ModelRequest) -> Reserve:
        """Return whom `stream` would ask now; raises ModelError where there is nobody to ask."""
        names = self._order(request)
        if not names:
            raise ModelsExhausted(request.route, ())
        return Reserve(model=names[0], usd=None)

    def _order(self, request: ModelRequest) -> list[str]:
        """Return the models to try: the pinned one, then the route's own order.

        A route may name models that are found at one start and not at the next; those are passed over.
        """
        if request.pin is not None and request.pin not in self._members:
            raise self._unknown(request.pin)
        wanted = order_of(self._routes, request.route, request.pin, strict=request.strict)
        names = [name for name in wanted if name in self._members]
        if not names and wanted:
            raise self._unknown(wanted[0])
        return names

    def _unknown(self, name: str) -> ModelUnavailable:
        return ModelUnavailable(
            name,
            f"there is no model {name!r}",
            why=f"configured are {', '.join(self._members)}",
            remedy="/model default, or clawd models list",
            transient=False,
        )


class ModelSet:
    """The models of one configuration. `run` it beside the agent, `close` it when nothing uses it."""

    def __init__(
        self, members: Sequence[Member], routes: Mapping[str, tuple[str, ...]], clock: Clock
    ) -> None:
        self._members = {member.name: member for member in members}
        self._routes = dict(routes)
        self.router: RoutedProvider = Router(self._members, self._routes, clock)
        self.windows = Windows({member.name: member.size for member in members}, self._routes)

    @property
    def routes(self) -> Mapping[str, tuple[str, ...]]:
        """Each route's models in order; `default` is always there."""
        return self._routes

    def infos(self) -> tuple[ModelInfo, ...]:
        """Return every model with its counts, in order."""
        return tuple(
            member.info(tuple(route for route, names in self._routes.items() if member.name in names))
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
        return await member.provider.probe()

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
) -> ModelSet:
    """Return the configured models, or, when none is, what `detect_models` finds.

    Args:
        config: Already validated: routes name known models, types exist.
        plugins: Model types by name.
        context: Handed to each provider.
        servers: Loopback ports to ask when nothing is configured; those of the presets by default.
    """
    if config.models:
        found = [Found(config=model, found="config", standby=True) for model in config.models]
    else:
        found = await detect_models(context.environ, plugins, servers)
    members = [
        Member(
            plugins[f.config.type].create(context, f.config),
            kind=f.config.type,
            found=f.found,
            size=_size(f.config),
        )
        for f in found
    ]
    routes = {name: route.models for name, route in config.routes.items()}
    routes.setdefault(DEFAULT_ROUTE, tuple(f.config.name for f in found if f.standby))
    known = {f.config.name for f in found}
    for route, names in routes.items():
        if missing := [name for name in names if name not in known]:
            log.warning("route_names_unknown_models", extra={"route": route, "models": missing})
    return ModelSet(members, routes, context.clock)


def _size(config: ModelConfig) -> ModelSize:
    context_tokens, max_tokens, vocabulary = config.size()
    return ModelSize(context_tokens=context_tokens, max_tokens=max_tokens, vocabulary=vocabulary)
