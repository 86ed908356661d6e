"""How the OpenAI-compatible endpoints say no: `{"error": {"message", "type", "param", "code"}}`.

Source: OpenAI API reference, "Error codes". The header `x-should-retry` is what OpenAI's own clients obey before
they look at the status.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.errors import (
    BudgetSpent,
    ClawdError,
    ContextTooLong,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelsExhausted,
    ModelUnavailable,
)
from clawd.gateway.problems import RequestRefused, as_refusal
from clawd.gateway.request_ids import request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.ids import Clock
    from clawd.response import JsonObject

PATHS: Final = ("/v1/models", "/v1/chat/", "/v1/responses", "/v1/audio/", "/v1/images/")
"""What the paths of these endpoints begin with."""

_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: Final = {
    "unauthorized": "invalid_api_key",
    "forbidden": "insufficient_permissions",
    "rate_limited": "rate_limit_exceeded",
}
_NO_RETRY: Final = {"x-should-retry": "false"}


class OpenAIRefused(RequestRefused):
    """A refusal with what only OpenAI's shape has.

    Args:
        status: HTTP status, 400 to 599.
        what: One sentence for the sender.
        param: The field that is wrong, as `messages[2].role`.
        code: Machine-readable.
        kind: The `type`; by the status where it is empty.
        again: Whether the same request may succeed later; False tells OpenAI's clients not to repeat it.
        retry_after_s: When, in seconds.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        param: str = "",
        code: str = "",
        kind: str = "",
        remedy: str = "",
        again: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        headers = {} if again else dict(_NO_RETRY)
        if retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        super().__init__(status, what, code=code, remedy=remedy, headers=headers, param=param)
        self.kind = kind


def bad_field(param: str, what: str, *, code: str = "invalid_value", remedy: str = "") -> OpenAIRefused:
    """Return the refusal of a request for one of its fields."""
    return OpenAIRefused(400, f"{param}: {what}", param=param, code=code, remedy=remedy)


def error_object(refused: RequestRefused) -> JsonObject:
    """Return what stands under `error`, in an answer or in a stream."""
    kind = refused.kind if isinstance(refused, OpenAIRefused) else ""
    error: JsonObject = {
        "message": f"{refused.what}; {refused.remedy}" if refused.remedy else refused.what,
        "type": kind or _TYPES.get(refused.status) or _by_class(refused.status),
        "param": refused.param or None,
        "code": _CODES.get(refused.reason_code, refused.reason_code),
    }
    if (name := request_id()) is not None:
        error["request_id"] = name
    return error


def error_response(refused: RequestRefused) -> web.Response:
    """Return the answer itself."""
    body = {"error": error_object(refused)}
    response = web.json_response(body, status=refused.status, headers=refused.headers)
    if refused.close:
        response.force_close()
    return response


@web.middleware
async def openai_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer refusals in OpenAI's shape where its clients ask; others pass."""
    if not request.path.startswith(PATHS):
        return await handler(request)
    try:
        return await handler(request)
    except ClawdError as error:
        return error_response(as_refusal(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        refused = OpenAIRefused(
            error.status, f"{request.method} {request.path} is not there", code="unknown_url"
        )
        if allow := error.headers.get("Allow"):
            refused.headers["Allow"] = allow
        return error_response(refused)


# --- models -------------------------------------------------------------------------------------------


def model_refusal(error: ModelError, clock: Clock, *, operator: bool) -> OpenAIRefused:
    """Return what a client is told of a model that did not answer.

    Args:
        error: As the router raised it.
        clock: Says how long it is to the end of a budget.
        operator: Whether the client may read the evidence: where the endpoint is, and what was said of its key.
    """
    first = _telling(error)
    what = f"{first.what} ({first.why})" if operator and first.why else first.what
    match first:
        case BudgetSpent(ends_at=ends_at):
            wait_s = (ends_at - clock.now()).total_seconds() if ends_at is not None else None
            return OpenAIRefused(
                429,
                what if operator else f"the {first.budget} budget has no room for this request",
                code="insufficient_quota",
                kind="insufficient_quota",
                again=False,
                retry_after_s=wait_s,
            )
        case ModelRateLimited(retry_after_s=wait_s):
            return OpenAIRefused(429, what, code="rate_limit_exceeded", retry_after_s=wait_s or 5)
        case ContextTooLong():
            return OpenAIRefused(400, what, param="messages", code="context_length_exceeded")
        case ModelAuthError():
            told = what if operator else "the model's provider refuses this installation"
            return OpenAIRefused(502, told, code="model_auth", again=False)
        case ModelUnavailable(transient=False):
            told = what if operator else "the model did not take the request"
            return OpenAIRefused(502, told, code="model_failed", again=False)
        case _:
            told = what if operator else "no model answered"
            return OpenAIRefused(503, told, code="model_unavailable", retry_after_s=5)


def _telling(error: ModelError) -> ModelError:
    """Return the error that a client can do most about; of a whole route the one that its models share."""
    if not isinstance(error, ModelsExhausted):
        return error
    kinds = {type(cause) for cause in error.causes}
    return error.causes[0] if len(kinds) == 1 else error


def _by_class(status: int) -> str:
    return "server_error" if status >= 500 else "invalid_request_error"
