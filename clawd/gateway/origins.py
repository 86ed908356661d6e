"""Which Host and Origin headers are let in, so that a web page can't reach the gateway through a browser.

DNS rebinding makes a page's own name point at this host: the browser then sends that name as Host. So a
Host has to be a name that is known to be ours, or an IP address, which no page can rebind.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clawd.gateway.problems import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Collection

    from multidict import MultiMapping


class Origins:
    """The names that requests may carry.

    Args:
        host: What the gateway is bound to.
        hosts: Further names, `gateway.hosts`.
        origins: Of pages that are let in too, `gateway.cors`, in lower case.
    """

    def __init__(self, host: str, hosts: Collection[str] = (), origins: Collection[str] = ()) -> None:
        self._origins = frozenset(origins)
        self._names = {name.lower().rstrip(".") for name in (host, *hosts)}

    def check(self, headers: MultiMapping[str], forwarded_host: str | None = None) -> None:
        """Let a request with these headers pass.

        Args:
            headers: Of the request.
            forwarded_host: The Host that the client asked a trusted proxy for.

        Raises:
            RequestRefused: 400 without exactly one Host, 403 for a foreign Host or Origin, and for what a
                page of another site had its browser fetch.
        """
        hosts = headers.getall("Host", [])
        if len(hosts) != 1:
            raise RequestRefused(400, "a request needs exactly one Host header")
        host = (forwarded_host or hosts[0]).lower()
        name = _name_of(f"//{host}")
        if name is None or not (self._is_ours(name) or _is_ip(name)):
            raise RequestRefused(
                403,
                f"this Host is not ours: {host[:100]}",
                code="foreign_host",
                remedy="name it in gateway.hosts",
            )
        origins = headers.getall("Origin", [])
        if not origins and _is_fetched_by_a_foreign_page(headers):
            # An image or a script of a foreign page carries no Origin, but browsers tell.
            raise RequestRefused(403, "pages of another origin are not let in", code="foreign_origin")
        for origin in origins:
            if not (origin.lower() in self._origins or self._is_own_origin(origin.lower(), host)):
                raise RequestRefused(
                    403,
                    f"pages of another origin are not let in: {origin[:100]}",
                    code="foreign_origin",
                    remedy="name its host in gateway.hosts, or the origin in gateway.cors",
                )

    def _is_ours(self, name: str) -> bool:
        return name == "localhost" or name.endswith(".localhost") or name in self._names

    def _is_own_origin(self, origin: str, host: str) -> bool:
        if origin in {f"http://{host}", f"https://{host}"}:
            return True
        name = _name_of(origin) if origin.startswith(("http://", "https://")) else None
        # Another port of this host is another program: only names that the owner wrote down count.
        return name is not None and name in self._names and not _is_local(name)


def _is_fetched_by_a_foreign_page(headers: MultiMapping[str]) -> bool:
    """Whether a browser says so; somebody who follows a link there is let in. Source: Fetch Metadata (W3C)."""
    return (
        headers.get("Sec-Fetch-Site", "").lower() in ("cross-site", "same-site")
        and headers.get("Sec-Fetch-Mode", "").lower() != "navigate"
    )


def _name_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is none
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_local(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or _is_ip(name)
