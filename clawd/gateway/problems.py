"""How the gateway says no: one JSON shape for every error, and the middleware that writes it.

`{"error": {"code": "not_found", "message": "…", "try": "…", "request_id": "…"}}`; `try` is left out when there is
no advice.
"""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from clawd.errors import (
    ClawdError,
    FilesFull,
    FileTooLarge,
    InboxFull,
    JournalError,
    JournalUnavailable,
    NotFound,
)
from clawd.gateway.request_ids import request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    429: "rate_limited",
    431: "headers_too_large",
    500: "internal",
    503: "unavailable",
}


class RequestRefused(ClawdError):
    """The request is answered with an error.

    Args:
        status: HTTP status, 400 to 599.
        what: One sentence for the sender.
        code: Machine-readable; the status' own by default.
        remedy: What the sender may change.
        headers: Further headers of the answer.
        close: The request's body was not read to its end, so the connection can't be used again.
        param: The field that is wrong, for OpenAI's shape.
    """

    code = "E-HTTP"

    def __init__(
        self,
        status: int,
        what: str,
        *,
        code: str = "",
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        close: bool = False,
        param: str = "",
    ) -> None:
        super().__init__(what, remedy=remedy)
        self.param = param
        self.status = status
        self.reason_code = code or _CODES.get(status, "error")
        self.headers = dict(headers or {})
        self.close = close

    def response(self) -> web.Response:
        """Return the answer itself."""
        error = {"code": self.reason_code, "message": self.what}
        if self.remedy:
            error["try"] = self.remedy
        if (name := request_id()) is not None:
            error["request_id"] = name
        response = web.json_response({"error": error}, status=self.status, headers=self.headers)
        if self.close:
            response.force_close()
        return response


def try_later(what: str, retry_after_s: float, *, status: int = 503, code: str = "") -> RequestRefused:
    """Return the refusal that asks to come again after `retry_after_s` seconds, at least one."""
    return RequestRefused(
        status, what, code=code, headers={"Retry-After": str(max(1, math.ceil(retry_after_s)))}
    )


def as_refusal(error: ClawdError) -> RequestRefused:
    """Return what a client is told about one of our own errors; internals stay in the log."""
    match error:
        case RequestRefused():
            return error
        case InboxFull():
            return try_later("too many messages are waiting", error.retry_after_s, code="busy")
        case FileTooLarge():
            return RequestRefused(413, error.what, remedy=error.remedy)
        case FilesFull():
            return try_later(error.what, error.retry_after_s, code="files_full")
        case JournalUnavailable():
            return try_later("nothing can be stored just now", error.retry_after_s)
        case NotFound():
            return RequestRefused(404, error.what)
        case JournalError():
            log.error("gateway_journal_failed", extra={"error": str(error)})
            return try_later("nothing can be stored just now", 5)
        case _:
            log.error("gateway_request_failed", extra={"error": str(error)})
            return RequestRefused(500, "the request failed", remedy="the log of clawd tells more")


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every refusal, ours or the router's, in the one JSON shape."""
    try:
        return await handler(request)
    except ClawdError as error:
        return as_refusal(error).response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": allow} if (allow := error.headers.get("Allow")) else {}
        return RequestRefused(error.status, _sentence(request, error.status), headers=headers).response()


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """The HTTP library's log: what strangers send that is not HTTP is one line and no traceback."""

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Write one event."""
        error = options.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self.logger.info(
                "gateway_bad_http", extra={"why": error.message.strip().partition("\n")[0][:200]}
            )
            return
        super().log(level, msg, *args, **options)


def _sentence(request: web.Request, status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "there is nothing at this path"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not possible at this path"
    return HTTPStatus(status).phrase
