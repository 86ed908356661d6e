"""Request bodies, read with a cap and a deadline before anything looks into them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.gateway.problems import RequestRefused
from clawd.strict_json import BadJson, parse_object

if TYPE_CHECKING:
    from clawd.response import JsonObject

BODY_TIMEOUT_S: Final = 30.0


async def read_body(request: web.Request, max_bytes: int, *, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """Return the body as it was sent.

    Raises:
        RequestRefused: 413 over `max_bytes` (told before more than that was read), 415 for a compressed
            body (a small one may unpack to gigabytes), 408 when it takes longer than `timeout_s`, 400 when
            it breaks off.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise RequestRefused(
            415,
            f"bodies with Content-Encoding {encoding[:40]} are not read",
            remedy="send it as it is",
            close=True,
        )
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    content, body = request.content, bytearray()
    try:
        if content.is_eof():  # it came with the headers, as most do: there is nothing to wait for
            body += content.read_nowait()
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            return bytes(body)
        async with asyncio.timeout(timeout_s):
            async for chunk in content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError as error:
        raise RequestRefused(408, f"the body did not arrive within {timeout_s:.0f} s", close=True) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise RequestRefused(400, "the body broke off", close=True) from error
    return bytes(body)


async def read_json(
    request: web.Request, max_bytes: int, *, timeout_s: float = BODY_TIMEOUT_S
) -> tuple[bytes, JsonObject]:
    """Return the body's bytes and the JSON object in them.

    Raises:
        RequestRefused: as `read_body`; 415 when it is not declared as JSON, 400 when it is not JSON.
    """
    if request.content_type != "application/json":
        # A browser can send other types across origins without asking first.
        raise RequestRefused(
            415,
            "the body has to be JSON",
            remedy="send the header Content-Type: application/json",
            close=True,
        )
    raw = await read_body(request, max_bytes, timeout_s=timeout_s)
    try:
        return raw, parse_object(raw)
    except BadJson as error:
        raise RequestRefused(400, str(error), code="bad_json") from error


def _too_large(max_bytes: int) -> RequestRefused:
    return RequestRefused(413, f"the body is larger than {max_bytes:,} bytes", close=True)
