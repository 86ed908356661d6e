"""Which web pages of other origins may use the gateway, `gateway.cors`, and how browsers are told.

Never with credentials: a token stands in a header that the page sets, there are no cookies, and so `*` is
never needed. Source: the Fetch standard, CORS protocol.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Collection

    from multidict import MultiMapping

_METHODS: Final = "GET, POST, DELETE"
_EXPOSED: Final = (
    "Location, Retry-After, RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset,"
    " X-Request-Id"
)
_MAX_AGE_S: Final = 600
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_MAX_HEADERS: Final = 64  # the SDKs of a known provider send a dozen of their own
_NOT_FOR_PAGES: Final = ("/control/", "/bridges/")


class Cors:
    """The allowed origins, such as `https://app.example.com`."""

    def __init__(self, origins: Collection[str]) -> None:
        self.origins = frozenset(origin.lower() for origin in origins)

    def preflight(self, request: web.Request) -> web.Response | None:
        """Return the answer to a browser that asks first, None for every other request.

        Its origin has passed `Origins.check`.
        """
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or asked is None or not self._is_allowed(request):
            return None
        wanted = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
        names = (name.strip() for name in wanted[:_MAX_HEADERS])
        headers = [name for name in names if _HEADER.fullmatch(name)]
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": ", ".join(headers),
                "Access-Control-Max-Age": str(_MAX_AGE_S),
            },
        )

    def sign(self, request: web.Request, headers: MultiMapping[str]) -> dict[str, str]:
        """Return what an answer has to say so that the page may read it.

        Args:
            request: Which is answered.
            headers: Of the answer so far.
        """
        if not self.origins:
            return {}
        vary = headers.get("Vary", "")
        told = {"Vary": f"{vary}, Origin" if vary and "origin" not in vary.lower() else vary or "Origin"}
        if self._is_allowed(request):
            told["Access-Control-Allow-Origin"] = request.headers["Origin"]
            told["Access-Control-Expose-Headers"] = _EXPOSED
        return told

    def _is_allowed(self, request: web.Request) -> bool:
        origins = request.headers.getall("Origin", [])
        return (
            len(origins) == 1
            and origins[0].lower() in self.origins
            and not request.path.startswith(_NOT_FOR_PAGES)
        )
