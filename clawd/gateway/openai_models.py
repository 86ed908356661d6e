"""What there is to ask: the agent, models and routes; and `GET /v1/models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from clawd.gateway.openai_errors import OpenAIRefused
from clawd.gateway.openai_question import AGENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from clawd.gateway.auth import TokenStore
    from clawd.models.base import RoutedProvider
    from clawd.response import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The models in force."""

    router: RoutedProvider
    models: tuple[str, ...]
    routes: tuple[str, ...]

    def kind_of(self, name: str) -> Literal["model", "route"] | None:
        """Return what a name stands for; a route of a model's name stands back. None: for nothing."""
        return "model" if name in self.models else "route" if name in self.routes else None

    def listed(self) -> list[JsonObject]:
        """Return all names, the agent's first."""
        names = dict.fromkeys((AGENT, *self.models, *self.routes))
        return [self.shown(name) for name in names]

    def shown(self, name: str) -> JsonObject:
        """Return one entry of the list."""
        owner = "clawd" if name == AGENT else f"clawd-{self.kind_of(name)}"
        return {"id": name, "object": "model", "created": 0, "owned_by": owner}


class ModelList:
    """`GET /v1/models` and `GET /v1/models/{id}`."""

    def __init__(self, offered: Callable[[], Offered], tokens: TokenStore) -> None:
        self._offered = offered
        self._tokens = tokens

    async def list_all(self, request: web.Request) -> web.Response:
        """Answer with all names."""
        self._tokens.require(request.headers, "chat", "read")
        return web.json_response({"object": "list", "data": self._offered().listed()})

    async def show(self, request: web.Request) -> web.Response:
        """Answer with one name."""
        self._tokens.require(request.headers, "chat", "read")
        offered, name = self._offered(), request.match_info["id"]
        if name != AGENT and offered.kind_of(name) is None:
            raise unknown_model(name, status=404)
        return web.json_response(offered.shown(name))


def unknown_model(name: str, *, status: int = 404) -> OpenAIRefused:
    """Return the refusal of a name that nothing here has."""
    return OpenAIRefused(
        status,
        f"there is no model {name[:64]!r}",
        param="model",
        code="model_not_found",
        remedy="GET /v1/models lists them",
    )
