"""An id for every request: the client's own or one of ours, on the answer and on all lines of the log."""

from __future__ import annotations

import logging
import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.observability.about import from_now_on_about, now_about

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.ids import Clock

log = logging.getLogger(__name__)

HEADER: Final = "X-Request-Id"
REQUEST_ID: Final = web.RequestKey("request_id", str)

# What proxies and tracing libraries send: UUIDs, hexadecimal, base64. Anything else is no id, and would have
# to be quoted wherever it is shown.
_TAKEN: Final = re.compile(r"[A-Za-z0-9._:~+/=@-]{1,128}")
_MAX_PATH: Final = 200


class RequestIds:
    """The outermost middleware: names a request, and writes the line that it was answered.

    The line is `gateway_request`, of level debug, for a failure of ours info.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @web.middleware
    async def named(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer a request under its id."""
        request[REQUEST_ID] = _name(request)
        began = self._clock.monotonic()
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR  # of what passes through: a bug
        # Not a block: what the library says of a bug, outside of here, is to have the id as well.
        from_now_on_about(request=request[REQUEST_ID])
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self._log(request, status, self._clock.monotonic() - began)
        from_now_on_about()
        return response

    def _log(self, request: web.Request, status: int, seconds: float) -> None:
        level = logging.DEBUG if status < HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
        if log.isEnabledFor(level):
            path = request.path[:_MAX_PATH]  # without the query, which may hold what is nobody's business
            what = {"method": request.method, "path": path, "status": status, "seconds": round(seconds, 3)}
            log.log(level, "gateway_request", extra=what)


def request_id() -> str | None:
    """Return the id of the request that this task answers, None where it answers none."""
    found = now_about().get("request")
    return found if isinstance(found, str) else None


def _name(request: web.Request) -> str:
    given = request.headers.getall(HEADER, [])
    if len(given) == 1 and _TAKEN.fullmatch(given[0]):
        return given[0]
    return f"req_{secrets.token_hex(12)}"
