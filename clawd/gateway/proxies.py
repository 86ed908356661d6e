"""Who is behind a reverse proxy: its `X-Forwarded-*` headers, believed from `gateway.trusted_proxies` alone."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Collection

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_HOPS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Where a request comes from."""

    address: str  # of the client; empty when it is gone already
    secure: bool  # the client speaks TLS, to us or to the proxy
    host: str | None = None  # the Host that the client asked the proxy for


CALLER = web.RequestKey("caller", Caller)
"""Set before any handler runs."""


class Proxies:
    """The addresses whose word is believed.

    Args:
        networks: As in the configuration, such as `10.0.0.0/8` or `::1`.
    """

    def __init__(self, networks: Collection[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(each, strict=False) for each in networks)

    def caller(self, request: web.Request) -> Caller:
        """Return who asks. A header that can't be read is as if it was not there."""
        peer = request.remote or ""
        if not self._is_trusted(peer):
            return Caller(address=peer, secure=request.secure)
        proto = _last(request, "X-Forwarded-Proto").lower()
        return Caller(
            address=self._client(request, peer),
            secure=proto == "https" if proto in ("http", "https") else request.secure,
            host=_last(request, "X-Forwarded-Host") or None,
        )

    def _client(self, request: web.Request, peer: str) -> str:
        """Return the last address that no trusted proxy vouches for: what stands before it anybody can write."""
        hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        client = peer
        for hop in reversed(hops[-_MAX_HOPS:]):
            address = _parsed(hop.strip())
            if address is None:
                return client
            client = str(address)
            if not self._is_trusted(client):
                return client
        return client

    def _is_trusted(self, text: str) -> bool:
        if not self._networks:  # as most have it, and every request asks
            return False
        address = _parsed(text)
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _last(request: web.Request, name: str) -> str:
    """Return the last value: the one that the nearest proxy added."""
    return ",".join(request.headers.getall(name, [])).rpartition(",")[2].strip()
