"""Outbound HTTP sessions: one place where proxy and certificate authority of the configuration apply.

The environment's proxy variables are never read: what leaves this host is what the configuration says.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from clawd.errors import ConfigError, ConfigProblem
from clawd.lookups import Lookups

if TYPE_CHECKING:
    from clawd.config.schema import NetworkConfig

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
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
    if _is_socks(network):
        connector: aiohttp.BaseConnector = _socks_connector(network.proxy or "", **tls, **limits)
    else:
        limits.setdefault("resolver", Lookups())
        connector = aiohttp.TCPConnector(**tls, **limits)
        options["proxy"] = network.proxy
    return aiohttp.ClientSession(connector=connector, trust_env=False, **options)


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


def _problem(key: str, message: str, remedy: str) -> ConfigError:
    return ConfigError([ConfigProblem(path="config", key=key, message=message, remedy=remedy)])
