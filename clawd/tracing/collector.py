"""One request to a collector, and what its answer means."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import aiohttp

from clawd import __version__
from clawd.errors import ConfigError
from clawd.network import client_session, without_proxy

if TYPE_CHECKING:
    from clawd.tracing.settings import Settings

TIMEOUT_S: Final = 10.0  # as the specification's OTEL_EXPORTER_OTLP_TIMEOUT
MAX_ANSWER: Final = 64 * 1024
_ZIP_FROM: Final = 1024  # bytes
_SOON: Final = frozenset({408, 429, 502, 503, 504})  # the specification's, and a time-out
_LATER: Final = frozenset({301, 302, 307, 308, 401, 403, 404, 405})  # whoever set it up has to do something
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


async def post(settings: Settings, body: bytes, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """Send an export request. Nothing stays open behind it: a connection that is kept wakes the process up."""
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
            said = await answer.content.read(MAX_ANSWER) if answer.status < 300 else b""
            return Answer(
                outcome=_outcome(answer.status),
                why=f"HTTP {answer.status}",
                body=said,
                retry_after_s=_seconds(answer.headers.get("Retry-After", "")),
            )
    except TimeoutError:
        return Answer(outcome="later", why=f"no answer within {timeout_s:g} s")
    except (aiohttp.ClientError, OSError, ValueError, ConfigError) as error:
        # No more of it: a foreign error may name the whole URL, whose path may hold a key.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return Answer(outcome="later", why=reason)


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return "taken"
    if status == 413:
        return "large"
    if status in _UNFIT:
        return "unfit"
    return "later" if status in _SOON | _LATER else "odd"


def _seconds(text: str) -> float:
    """Return a Retry-After in seconds; dates are not worth it."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
