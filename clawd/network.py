"""Outbound HTTP sessions: one place where proxy and certificate authority of the configuration apply.

The environment's proxy variables are never read: what leaves this host is what the configuration says.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohappyeyeballs import start_connection

from clawd.errors import ConfigError, ConfigProblem
from clawd.lookups import Lookups

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType
    from aiohttp.abc import ResolveResult

    from clawd.config.schema import NetworkConfig

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_HTTP = frozenset({"http", "https"})
_SOCKS = frozenset({"socks4", "socks5", "socks5h"})
_PORTS: Final = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}
# A peer that is there confirms what it gets within moments, however long it thinks: silence of the system behind it
# means that the line is dead. The kernel finds that out, with no timer of ours. Source: tcp(7).
#
# TCP_USER_TIMEOUT takes the place of TCP_KEEPCNT: once it is over, a single question without an answer ends the
# connection. All questions have to fit before it, or one packet that gets lost would, and a request be paid twice.
_QUESTIONS: Final = 3
_BETWEEN_S: Final = 5
_FIRST_AFTER_S: Final = 15
_DEAD_AFTER_S: Final = _FIRST_AFTER_S + _QUESTIONS * _BETWEEN_S
_LIVELINESS: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _FIRST_AFTER_S),  # until the first question whether it is there
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", _BETWEEN_S),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", _QUESTIONS),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 1000 * _DEAD_AFTER_S),  # of what was sent and is not confirmed
)
_NEXT_ADDRESS_S: Final = 0.25  # as aiohttp: then the next address is tried beside one that does not answer


def client_session(network: NetworkConfig, **options: Any) -> aiohttp.ClientSession:
    """Return a session that leaves through the configured proxy and trusts the configured authority.

    Call it inside the event loop; the caller closes it.

    Args:
        network: The section that applies (the global one, or a bridge's or model's own).
        options: Further arguments of `aiohttp.ClientSession`. `limit` (connections at a time, 0 for no
            limit), `limit_per_host` and `resolver` go to the connector instead.

    Raises:
        ConfigError: the certificate file can't be read, or the proxy needs an extra that is missing.
    """
    limits = {name: options.pop(name) for name in ("limit", "limit_per_host", "resolver") if name in options}
    tls: dict[str, Any] = {"ssl": tls_context(network.ca_file)} if network.ca_file else {}
    if _is_socks(network):
        connector: aiohttp.BaseConnector = _socks_connector(network.proxy or "", **tls, **limits)
    else:
        limits.setdefault("resolver", Lookups())
        connector = aiohttp.TCPConnector(socket_factory=_watched_socket, **tls, **limits)
        options["proxy"] = network.proxy
    return aiohttp.ClientSession(connector=connector, trust_env=False, **options)


async def knock(network: NetworkConfig, url: str, timeout_s: float) -> None:
    """Open a connection to where requests for this URL go first, and close it again.

    Raises:
        OSError, TimeoutError: nobody can be reached there, such as with no network.
    """
    there = urlsplit(network.proxy or url)
    port = there.port or _PORTS[there.scheme.lower()]
    async with asyncio.timeout(timeout_s):
        found = await Lookups().resolve(there.hostname or "", port, socket.AF_UNSPEC)
        # As requests connect: a host whose first address leads nowhere (IPv6 that is not routed) is reached.
        reached = await start_connection(
            [_address_info(each) for each in found], happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1
        )
    reached.close()


def _address_info(address: ResolveResult) -> AddrInfoType:
    where: tuple[str, int] | tuple[str, int, int, int] = (address["host"], address["port"])
    if address["family"] == socket.AF_INET6:
        where = (*where[:2], 0, 0)
    return address["family"], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


def check_network(network: NetworkConfig) -> None:
    """Raise the ConfigError that `client_session` would raise, without opening anything."""
    if network.ca_file:
        tls_context(network.ca_file)
    if _is_socks(network):
        _import_socks()


def without_proxy(network: NetworkConfig, url: str) -> NetworkConfig:
    """Return the section that applies to this URL: a proxy can't reach our own loopback."""
    host = urlsplit(url).hostname
    return network.model_copy(update={"proxy": None}) if host in _LOOPBACK else network


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return a client context that trusts this PEM bundle and nothing else; raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _problem(
            "network.ca_file", f"{ca_file}: {error.strerror or error}", "name a readable PEM file"
        ) from error


def _is_socks(network: NetworkConfig) -> bool:
    """Whether the proxy speaks SOCKS; raises ConfigError when it is no proxy that we know."""
    if not network.proxy:
        return False
    scheme = urlsplit(network.proxy).scheme.lower()
    if scheme not in _HTTP | _SOCKS:
        # The address may hold a password, so it is not quoted back.
        raise _problem("network.proxy", "not a proxy's address", "use http://HOST:PORT or socks5://HOST:PORT")
    return scheme in _SOCKS


def _import_socks() -> Any:
    try:
        from aiohttp_socks import ProxyConnector
    except ImportError as error:
        raise _problem(
            "network.proxy", "a SOCKS proxy needs the extra `socks`", 'pip install "clawd-agent[socks]"'
        ) from error
    return ProxyConnector


def _socks_connector(proxy: str, **options: Any) -> aiohttp.BaseConnector:
    connector_type = _import_socks()
    try:
        connector: aiohttp.BaseConnector = connector_type.from_url(proxy, **options)
    except ValueError as error:
        raise _problem("network.proxy", "not a usable SOCKS address", "socks5://HOST:PORT") from error
    return connector


def _watched_socket(info: AddrInfoType) -> socket.socket:
    """Return a socket whose connection ends when its line is dead, also while nothing is sent."""
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    for level, name, value in _LIVELINESS:
        if (option := getattr(socket, name, None)) is not None:  # not every system knows all of them
            made.setsockopt(level, option, value)
    return made


def _problem(key: str, message: str, remedy: str) -> ConfigError:
    return ConfigError([ConfigProblem(path="config", key=key, message=message, remedy=remedy)])
