"""What a turn works with: models, tools and rules of one configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clawd.config.schema import AgentConfig, RouteConfig, ToolsConfig
    from clawd.models.base import RequestTags, RoutedProvider
    from clawd.models.ledger import Room
    from clawd.models.windows import Windows
    from clawd.tools.registry import Toolbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Brain:
    """What a turn works with; a reload makes a new one, and turns under way keep theirs."""

    agent: AgentConfig
    router: RoutedProvider
    models: tuple[str, ...]  # the default route's first
    routes: Mapping[str, RouteConfig]  # those of the configuration, in its order
    tools: Toolbox
    asking: ToolsConfig  # what becomes of calls that need a person
    windows: Windows  # how much a request may hold
    # Which budget comes to its end, to be told to the person of these tags; None: nobody keeps one.
    notice: Callable[[RequestTags], Room | None] | None = None
