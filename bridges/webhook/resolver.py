"""Name resolution that keeps callbacks out of private networks.

aiohttp connects to exactly the addresses that the resolver returned, so a name that points elsewhere a
moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import errno
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from bridges.webhook.addresses import is_public


class PublicOnly(AbstractResolver):
    """A resolver that refuses names with an address outside the public internet."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses; raises OSError when one of them is private, or none was found."""
        found = await self._inner.resolve(host, port, family)
        for result in found:
            if not is_public(result["host"]):
                raise OSError(
                    errno.EACCES,
                    f"{host} is at {result['host']}, which is not public; set allow_private: true if it is meant",
                )
        return found

    async def close(self) -> None:
        """Release the inner resolver."""
        await self._inner.close()
