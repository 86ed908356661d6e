"""Which URLs that others name may be called: an operator's list of prefixes and hosts. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from clawd.webhooks.addresses import is_ip, is_loopback_host, is_odd_number, is_public

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    from yarl import URL

MAX_URL_CHARS: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One entry of a list: a URL that others begin with, or a host.

    `host` is exact, `*.example.com` for every name below, or `*`. An entry that is only a host holds for
    every port and path.
    """

    host: str
    scheme: str | None = None
    port: int | None = None
    path: str = "/"

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read `https://hooks.example.com/clawd/`, `hooks.example.com` or `*.example.com`; raises ValueError."""
        if "://" not in text:
            host = text.strip("[]") if is_ip(text.strip("[]")) else text
            if not host or (any(c in host for c in "/:@?# ") and not is_ip(host)):
                raise ValueError(f"{text!r:.80} is neither a host nor the beginning of a URL")
            return cls(host=host.lower())
        url = _parse(text)
        if url.query_string:
            raise ValueError(f"{text!r:.80} has a query, which no beginning of a URL has")
        return cls(host=(url.host or "").lower(), scheme=url.scheme, port=url.port, path=url.raw_path)

    def holds_for(self, url: URL) -> bool:
        """Whether a parsed URL is let in by this entry."""
        if self.scheme is not None and (self.scheme, self.port) != (url.scheme, url.port):
            return False
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        path = url.raw_path
        return fits(self.host, url.host or "") and (path == self.path or path.startswith(below))


def fits(pattern: str, host: str) -> bool:
    """Whether a host is the one that a pattern names, or one of those."""
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return host == pattern


class Destinations:
    """What may be called.

    Args:
        allow: Beginnings of URLs, and hosts.
        allow_http: Also `http://`.
        allow_private: Hosts (or patterns), addresses and networks outside the public internet that are meant.

    Raises:
        ValueError: an entry that is none.
    """

    def __init__(self, allow: Sequence[str], *, allow_http: bool, allow_private: Sequence[str]) -> None:
        self._allow = tuple(Allowed.parse(text) for text in allow)
        self._http = allow_http
        self._networks: list[IPv4Network | IPv6Network] = []
        self._hosts: list[str] = []
        for text in allow_private:
            try:
                self._networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
            except ValueError:
                self._hosts.append(Allowed.parse(text).host)

    def check(self, text: str) -> str:
        """Return the URL as it will be asked for.

        Raises:
            ValueError: it may not be called; says why.
        """
        url = _parse(text)
        host = url.host or ""
        if url.scheme == "http" and not self._http:
            raise ValueError("http:// is readable by others: use https://")
        if is_odd_number(host):
            raise ValueError("its host is no name, and no address as it is usually written")
        if not any(entry.holds_for(url) for entry in self._allow):
            raise ValueError("it is not on the list of what may be called")
        if (is_ip(host) or is_loopback_host(host)) and not self.may_reach(host, host):
            raise ValueError("its host is not on the public internet")
        return str(url)

    def may_reach(self, host: str, address: str) -> bool:
        """Whether a host may be connected to at this address."""
        if any(fits(pattern, host) for pattern in self._hosts):
            return True
        if not is_ip(address.partition("%")[0]):
            return False
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in network for network in self._networks) or is_public(address)


def _parse(text: str) -> URL:
    """Return a URL whose parts every reader of it would find at the same places; raises ValueError."""
    if (
        len(text) > MAX_URL_CHARS
        or not text.isascii()
        or not text.isprintable()
        or set(text) & set(' \\"<>^`{|}')
    ):
        raise ValueError(f"a URL is at most {MAX_URL_CHARS} characters of ASCII, other characters escaped")
    from yarl import URL  # here: commands that read a configuration without URLs start without it

    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("expected a URL such as https://example.com/hook")
    if url.user is not None or url.password is not None:
        raise ValueError("a URL with a name or password in it is not allowed: it would show up in logs")
    if "#" in text:
        raise ValueError("a URL to be called has no fragment")
    path = text.partition("://")[2].partition("?")[0].partition("/")[2]
    if ".." in unquote(unquote(path)).replace("\\", "/").split("/"):
        raise ValueError("a URL to be called has no .. in it")
    return url
