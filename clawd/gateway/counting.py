"""Counts what the gateway answers. Labels are bounded: what strangers make up has no label of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from clawd.observability.counts import Counts

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
"""The route of a request for a path, or with a method, that no route has; and the method that HTTP does not know."""


class RequestCounter:
    """Counts each answer once, when its status goes out: of a stream, when it begins."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts.requests

    def expect(self, routes: Iterable[web.AbstractRoute]) -> None:
        """Tell 0 for these routes until something is counted."""
        for route in routes:
            if route.resource is None or route.method not in METHODS - {"HEAD"}:
                continue
            for status in ("2xx", "4xx", "5xx"):
                self._counts.expect(route.resource.canonical, route.method, status)

    async def count(self, request: web.Request, response: web.StreamResponse) -> None:
        """Count one answer; a signal handler of the application (`on_response_prepare`)."""
        resource = request.match_info.route.resource
        self._counts.add(
            resource.canonical if resource is not None else OTHER,
            request.method if request.method in METHODS else OTHER,
            f"{response.status // 100}xx",
        )
