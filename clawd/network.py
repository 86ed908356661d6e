"""Outbound HTTP sessions: one place where proxy and certificate authority of the configuration apply.

The environment's proxy variables are never read: what leaves this host is what the configuration says.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from clawd.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from clawd.config.schema import NetworkConfig

_HTTP = frozenset({"http", "https"})
_SOCKS = frozenset({"socks4", "socks5", "socks5h"})


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
    scheme = urlsplit(network.proxy).scheme.lower() if network.proxy else ""
    if not network.proxy:
        connector: aiohttp.BaseConnector = aiohttp.TCPConnector(**tls, **limits)
    elif scheme in _HTTP:
        connector = aiohttp.TCPConnector(**tls, **limits)
        options["proxy"] = network.proxy
    elif scheme in _SOCKS:
        connector = _socks_connector(network.proxy, **tls, **limits)
    else:
        raise _problem(
            "network.proxy", f"{scheme or 'no'} scheme", "use http://HOST:PORT or socks5://HOST:PORT"
        )
    return aiohttp.ClientSession(connector=connector, trust_env=False, **options)


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return a client context that trusts this PEM bundle and nothing else; raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _problem(
            "network.ca_file", f"{ca_file}: {error.strerror or error}", "name a readable PEM file"
        ) from error


def _socks_connector(proxy: str, **options: Any) -> aiohttp.BaseConnector:
    try:
        from aiohttp_socks import ProxyConnector
    except ImportError as error:
        raise _problem(
            "network.proxy", "a SOCKS proxy needs the extra `socks`", 'pip install "clawd-agent[socks]"'
        ) from error
    # The proxy's address may hold a password, so an invalid one is not quoted back.
    try:
        connector: aiohttp.BaseConnector = ProxyConnector.from_url(proxy, **options)
    except ValueError as error:
        raise _problem("network.proxy", "not a usable SOCKS address", "socks5://HOST:PORT") from error
    return connector


def _problem(key: str, message: str, remedy: str) -> ConfigError:
    return ConfigError([ConfigProblem(path="config", key=key, message=message, remedy=remedy)])
