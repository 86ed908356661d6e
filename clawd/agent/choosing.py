"""Which models a turn asks: by the message's own wish, the conversation's, or the rules of routes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.models.routing import choose_route, facts_of
from clawd.models.windows import DEFAULT_ROUTE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from clawd.agent.offline import Whom
    from clawd.agent.turn import Turn
    from clawd.config.schema import RouteConfig
    from clawd.journal.base import ConversationSettings
    from clawd.messages import InboundMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A route, and the model that is tried before it; `strict`: no other takes over when the first one fails.

    `alone` says that the first one is known: the pinned model, or that of a route which keeps to its order.
    `gone` is what was wished for and is neither a model nor a route any more: the rules choose in its place;
    where no other may take over it is the pin all the same, and nobody is to be asked. `kept` says that the conversation wishes for it, and will the next time.
    """

    route: str = DEFAULT_ROUTE
    pin: str | None = None
    strict: bool = False
    alone: bool = False
    gone: str | None = None
    kept: bool = False


def choose(
    messages: Sequence[InboundMessage],
    settings: ConversationSettings,
    routes: Mapping[str, RouteConfig],
    models: Collection[str],
) -> Choice:
    """Return what a turn asks; a message's wish comes before the conversation's, and that before the rules.

    Args:
        messages: Those that the turn began with, as `beginning` gives them.
        settings: Of the conversation.
        routes: Those in force.
        models: The names of those in force; a route of the same name stands back.
    """
    route = choose_route(routes, facts_of(messages)).route
    own = next((m.model for m in messages if m.model is not None), None)
    wanted, strict = (own, False) if own is not None else (settings.model, settings.strict)
    pin = gone = None
    if wanted in models:
        pin = wanted
    elif wanted is not None and (wanted == DEFAULT_ROUTE or wanted in routes):
        route = wanted
    elif wanted is not None:
        gone, pin = wanted, wanted if strict else None
    config = routes.get(route)
    strict = strict or (config is not None and config.strict)
    in_order = config is None or config.strategy == "priority"
    return Choice(
        route=route,
        pin=pin,
        strict=strict,
        alone=strict and (pin is not None or in_order),
        gone=gone,
        kept=gone is not None and own is None,
    )


def others_than(whom: Whom, routes: Mapping[str, RouteConfig], models: Sequence[str]) -> list[str]:
    """Return the models that are not asked where these are: those that could be chosen in their place."""
    route = routes.get(whom.route)
    asked = list(route.models if route is not None else models)
    if whom.strict:
        asked = [] if whom.pin is not None else asked[:1]
    return [name for name in models if name not in asked and name != whom.pin]


def beginning(
    asked: Sequence[InboundMessage], turn: Turn, merged: Mapping[int, InboundMessage]
) -> list[InboundMessage]:
    """Return the messages that were there before the turn's first step: they decide for all of it.

    Args:
        asked: The turn's own message, or those that it asks again.
        turn: What has happened in the turn.
        merged: Further messages that became part of it, by their sequence number.
    """
    seqs = (seq for merge in turn.merges if merge.step <= 1 for seq in merge.seqs)
    return [*asked, *(merged[seq] for seq in seqs if seq in merged)]


def names_of(models: Sequence[str], routes: Iterable[str]) -> tuple[str, ...]:
    """Return what may be chosen: models, then routes."""
    return tuple(dict.fromkeys((*models, *routes)))
