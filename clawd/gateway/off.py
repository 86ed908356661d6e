"""The gateway of a daemon that has none: `gateway.port` is false, and nothing of the server is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from clawd.config.schema import GatewayConfig
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.remote import Mounted


class NoGateway:
    """Stands where `clawd.gateway.app.Gateway` would; a port needs a new start."""

    url: str | None = None
    moved_from: int | None = None

    def __init__(self, tokens: TokenStore) -> None:
        self._tokens = tokens

    def mount(self, control: Mounted) -> None:
        """Serve nothing: there is no other door than the control socket."""

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return no tasks: no client is answered."""
        return frozenset()

    async def configure(self, config: GatewayConfig) -> None:
        """Keep the tokens as `clawd tokens` shows them in line with the configuration; raises ConfigError."""
        await self._tokens.configure(config.tokens, config.apps, generate=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to stop."""
