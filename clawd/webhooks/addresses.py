"""Which addresses an outbound call may lead to. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_RESERVED: Final = (
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # RFC 8215: NAT64 of a site's own
    ipaddress.IPv4Network("168.63.129.16/32"),  # a cloud's metadata under a public address
)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; also looks into addresses that wrap IPv4."""
    ip = _unwrap(ipaddress.ip_address(address.partition("%")[0]))
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _RESERVED)


def is_loopback_host(host: str) -> bool:
    """Whether a URL's host names this machine itself: `localhost` or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return is_ip(host) and ipaddress.ip_address(host).is_loopback


def is_ip(host: str) -> bool:
    """Whether a URL's host is an IP address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_odd_number(host: str) -> bool:
    """Whether a host is a number that some systems take for an address: `2130706433`, `0x7f.1`, `127.1`.

    Source: WHATWG URL standard, "ends in a number".
    """
    last = host.rstrip(".").rpartition(".")[2]
    return not is_ip(host) and (last.isdigit() or last.lower().startswith("0x"))


def check_callback_url(url: str, *, allow_http: bool, allow_private: bool) -> str:
    """Return the URL when it may be called.

    Loopback written down in the configuration is meant, so it passes; other private addresses pass only
    with `allow_private`, `http://` to other hosts only with `allow_http`.

    Raises:
        ValueError: says what is wrong and what to set.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("expected a URL such as https://example.com/hook")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a name or password in it is not allowed: it would show up in logs")
    if is_odd_number(host):
        raise ValueError(f"{host} is no name, and no address as it is usually written")
    if is_loopback_host(host):
        return url
    if parts.scheme == "http" and not allow_http:
        raise ValueError("http:// is readable by others; use https://, or set allow_http: true")
    if is_ip(host) and not is_public(host) and not allow_private:
        raise ValueError(f"{host} is not a public address; set allow_private: true if it is meant")
    return url


def _unwrap(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64 or (ip in _IPV4_COMPATIBLE and int(ip) > 1):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
