"""The HTTP server: health, REST, OpenAI's API, and the bridges whose platforms call us."""

from clawd.gateway.app import CannotListen, Gateway
from clawd.gateway.auth import TokenStore
from clawd.gateway.health import Readiness

__all__ = ["CannotListen", "Gateway", "Readiness", "TokenStore"]
