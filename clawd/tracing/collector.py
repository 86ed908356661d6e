"""One request to a collector, and what its answer means."""

from __future__ import annotations

import asyncio
import gzip
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import aiohttp

from clawd import __version__
from clawd.errors import ConfigError
from clawd.network import client_session, without_proxy
from clawd.webhooks.answers import retry_after

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.tracing.settings import Settings

TIMEOUT_S: Final = 10.0  # as the specification's OTEL_EXPORTER_OTLP_TIMEOUT
MAX_ANSWER: Final = 64 * 1024
_WORDS_S: Final = 0.5  # for the body of an answer: its status has said whether it was taken
_ZIP_FROM: Final = 1024  # bytes
_SOON: Final = frozenset({408, 429, 502, 503, 504})  # the specification's, and a time-out
# Whoever set it up, or its proxy, has to do something; beyond 520 a proxy's own words for a collector that is away.
_LATER: Final = frozenset({301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 511, *range(520, 531)})
_UNFIT: Final = frozenset({400, 415, 422})

Outcome = Literal["taken", "large", "unfit", "later", "odd"]
"""`large` may fit in parts; `unfit` never will; `later`: nobody there takes anything; `odd`: perhaps these spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request."""

    outcome: Outcome
    why: str = ""
    body: bytes = b""
    retry_after_s: float = 0.0


async def post(settings: Settings, body: bytes, now: datetime, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """Send an export request. Nothing stays open behind it: a connection that is kept wakes the process up.

    Args:
        settings: Where to.
        body: As protobuf.
        now: What a `Retry-After` that is a date is held against.
        timeout_s: For all of it.
    """
    headers = {
        **settings.headers,
        "content-type": "application/x-protobuf",
        "user-agent": f"clawd/{__version__}",
    }
    if len(body) >= _ZIP_FROM:
        body = await asyncio.to_thread(gzip.compress, body, 3)
        headers["content-encoding"] = "gzip"
    try:
        async with (
            client_session(
                without_proxy(settings.network, settings.url),
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2),
            ) as session,
            session.post(settings.url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return Answer(
                outcome=_outcome(answer.status),
                why=f"HTTP {answer.status}",
                body=await _words(answer) if answer.status < 300 else b"",
                retry_after_s=retry_after(answer.headers.get("Retry-After"), now) or 0.0,
            )
    except TimeoutError:
        return Answer(outcome="later", why=f"no answer within {timeout_s:g} s")
    except (aiohttp.ClientError, OSError, ValueError, ConfigError) as error:
        return Answer(outcome="later", why=_reason(error))


async def _words(answer: aiohttp.ClientResponse) -> bytes:
    """Return what a collector says of what it took; empty where it does not end, or breaks off: it did take it."""
    said = bytearray()
    try:
        async with asyncio.timeout(_WORDS_S):
            while len(said) < MAX_ANSWER and (piece := await answer.content.readany()):
                said += piece
    except (aiohttp.ClientError, OSError):  # the time that is over among them
        return b""
    return bytes(said)


def _reason(error: Exception) -> str:
    """Return why there was no answer. No more of it: a foreign error may name the whole URL, whose path may hold a key."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            wrong = error.certificate_error
            return f"its certificate is not accepted: {getattr(wrong, 'verify_message', '') or type(wrong).__name__}"
        case aiohttp.ClientConnectorDNSError():
            return f"looking up its name failed: {error.os_error.strerror or type(error.os_error).__name__}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy says HTTP {error.status}"
        case ConfigError():
            return error.problems[0].message
        case OSError() if error.errno and error.errno > 0:
            return os.strerror(error.errno)
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return type(error).__name__


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return "taken"
    if status == 413:
        return "large"
    if status in _UNFIT:
        return "unfit"
    return "later" if status in _SOON | _LATER else "odd"
