"""Requests read and answers written: JSON in, JSON out, every error in the four fields."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from clawd.control.protocol import PROTOCOL_HEADER, PROTOCOL_VERSION
from clawd.errors import (
    EXIT_AUTH,
    EXIT_USAGE,
    BridgeError,
    ClawdError,
    ConfigError,
    ControlError,
    InboxFull,
    JournalUnavailable,
    ModelError,
    NotFound,
    NotPossible,
)
from clawd.jsonable import json_object, jsonable
from clawd.strict_json import BadJson, parse_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.response import JsonObject

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 2 * 1024 * 1024


class BadRequest(ControlError):
    """The request can't be understood."""

    code = "E-REQUEST"
    exit_code = EXIT_USAGE


class TooLarge(BadRequest):
    """The body is over the limit."""

    code = "E-TOO-LARGE"


class NotAllowed(ControlError):
    """The sender was not let in."""

    code = "E-REFUSED"
    exit_code = EXIT_AUTH


class Busy(ControlError):
    """Too many clients wait already."""

    code = "E-BUSY"
    exit_code = 75


_STATUS: tuple[tuple[type[ClawdError], int], ...] = (
    (TooLarge, 413),
    (BadRequest, 400),
    (ConfigError, 400),
    (NotAllowed, 403),
    (NotFound, 404),
    (NotPossible, 409),
    (InboxFull, 503),
    (JournalUnavailable, 503),
    (Busy, 503),
    (BridgeError, 502),
    (ModelError, 502),
    (ClawdError, 500),
)


def answer(value: object) -> web.Response:
    """Return 200 with a dataclass or mapping as JSON."""
    return _response(200, json_object(value))


def error_body(error: ClawdError) -> JsonObject:
    """Return the error as the protocol has it, without the outer `error` key."""
    body: JsonObject = {
        "code": error.code,
        "what": error.what,
        "where": error.where,
        "why": error.why,
        "try": error.remedy,
        "exit_code": error.exit_code,
    }
    if isinstance(error, ConfigError):
        body["problems"] = jsonable(error.problems)
    return body


def error_answer(error: ClawdError) -> web.Response:
    """Return the error with the status that fits it."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    response = _response(status, {"error": error_body(error)})
    if isinstance(error, InboxFull | JournalUnavailable):
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return response


@web.middleware
async def errors_in_four_fields(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer our errors, and the router's, in the protocol's form."""
    try:
        return await handler(request)
    except ClawdError as error:
        log.info(
            "control_refused", extra={"method": request.method, "path": request.path, "code": error.code}
        )
        return error_answer(error)
    except web.HTTPNotFound:
        return error_answer(
            NotFound(
                f"there is no {request.method} {request.path}",
                why=f"this daemon speaks protocol {PROTOCOL_VERSION}",
            )
        )
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        refusal = BadRequest(f"{request.path} does not take {request.method}", why=f"it takes {allowed}")
        return _response(405, {"error": error_body(refusal)})


async def stamp(_request: web.Request, response: web.StreamResponse) -> None:
    """Put the protocol's version on every answer, also on those that the HTTP layer makes."""
    response.headers[PROTOCOL_HEADER] = str(PROTOCOL_VERSION)


async def body_of(request: web.Request) -> JsonObject:
    """Return the request's JSON object; an empty body is an empty object.

    Raises:
        TooLarge: over `MAX_BODY_BYTES`.
        BadRequest: not a JSON object, read strictly.
    """
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge("the request is too large", why=f"at most {MAX_BODY_BYTES} bytes are taken") from None
    if not raw:
        return {}
    try:
        return parse_object(raw)
    except BadJson as error:
        raise BadRequest("the request can't be read", why=str(error)) from error


def text_field(body: JsonObject, key: str, default: str | None = None) -> str:
    """Return a string of the body that has something in it.

    Raises:
        BadRequest: missing, blank, or no string.
    """
    value = body.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not value.strip():
        raise BadRequest(f"{key} is missing", why="expected a string with something in it")
    return value


def optional_text(body: JsonObject, key: str) -> str | None:
    """Return a string of the body, None when it is absent; raises BadRequest like `text_field`."""
    return None if body.get(key) is None else text_field(body, key)


def word_field(body: JsonObject, key: str, *, longest: int) -> str | None:
    """Return a string of the body, which may be empty, None when it is absent.

    Raises:
        BadRequest: no string, or over `longest` characters.
    """
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise BadRequest(f"{key} can't be used", why=f"expected a string of at most {longest} characters")
    return value


def flag_field(body: JsonObject, key: str) -> bool:
    """Return a boolean of the body, False when it is absent; raises BadRequest for anything else."""
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{key} is not true or false", why=f"got {value!r:.60}")
    return value


def number_query(request: web.Request, key: str, default: float, greatest: float) -> float:
    """Return a number of the query, cut to `greatest`; raises BadRequest when it is none, or negative."""
    text = request.query.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not value >= 0:  # also turns NaN away
        raise BadRequest(f"{key} is not a number from 0", why=f"got {text!r:.60}")
    return min(value, greatest)


def _response(status: int, body: JsonObject) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False).encode(errors="replace"),
        content_type="application/json",
        charset="utf-8",
    )
