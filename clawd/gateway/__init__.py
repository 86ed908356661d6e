"""The HTTP server: health, REST, OpenAI's API, and the bridges whose platforms call us."""

from clawd.gateway.app import CannotListen, Gateway
from clawd.gateway.auth import TokenStore
from clawd.gateway.health import Readiness
from clawd.gateway.surroundings import Surroundings, Times

__all__ = ["CannotListen", "Gateway", "Readiness", "Surroundings", "Times", "TokenStore"]
