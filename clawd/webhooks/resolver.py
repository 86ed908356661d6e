"""Name resolution that keeps outbound calls out of private networks.

aiohttp connects to exactly the addresses that the resolver returned, so a name that points elsewhere a
moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult

from clawd.webhooks.addresses import is_public

if TYPE_CHECKING:
    from collections.abc import Callable


def _public_only(_host: str, address: str) -> bool:
    return is_public(address)


class PublicOnly(AbstractResolver):
    """A resolver that refuses names with an address outside the public internet.

    Args:
        inner: Looks names up.
        allowed: Whether a host may be at an address.
    """

    def __init__(self, inner: AbstractResolver, allowed: Callable[[str, str], bool] = _public_only) -> None:
        self._inner = inner
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses; raises OSError when one of them is private, or none was found."""
        found = await self._inner.resolve(host, port, family)
        for result in found:
            if not self._allowed(host, result["host"]):
                raise OSError(
                    errno.EACCES,
                    f"{host} is at {result['host']}, which is not public; see allow_private if it is meant",
                )
        return found

    async def close(self) -> None:
        """Release the inner resolver."""
        await self._inner.close()
