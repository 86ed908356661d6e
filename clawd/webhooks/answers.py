"""What a callback's failure means for its delivery: one function for statuses, one for broken connections.

A callback carries the same id and bytes each time, so repeating it is safe wherever the receiver keeps ids.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Literal

import aiohttp

from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown

MAX_RETRY_AFTER_S: Final = 86_400.0

_REFUSED_FOR_GOOD: Final = frozenset({400, 410, 413, 415, 422})
"""The receiver read this very message and will not have it, or says that nobody lives there any more."""

_OVERLOADED: Final = frozenset({502, 503, 504})
"""With a `Retry-After` these say when to come again, hence that nothing was done."""


Kind = Literal["done", "gone", "later", "failed", "refused"]


def kind_of(status: int) -> Kind:
    """Return what a status says of a call: taken, never again here, later, not working now, or not like this.

    Redirects are not followed, so they are refusals. Source: Standard Webhooks specification 1.0.0; RFC 9110
    (408, 410, 5xx), RFC 8470 (425), RFC 6585 (429).
    """
    if 200 <= status < 300:
        return "done"
    if status == HTTPStatus.GONE:
        return "gone"
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS):
        return "later"
    return "failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused"


def from_status(bridge: str, status: int, retry_after_s: float | None, words: str) -> DeliveryError:
    """Return the error of an answer outside 200 to 299.

    Redirects are not followed. A 4xx that speaks of the endpoint and not of the message (401, 404 …) is
    tried again on the schedule: it is what receivers say while they are being set up or deployed.
    """
    why = f"HTTP {status}" + (f": {words}" if words else "")
    if status in _REFUSED_FOR_GOOD:
        return DeliveryRejected(bridge, "the callback was refused", why=why)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not (
        status in _OVERLOADED and retry_after_s is not None
    ):
        return DeliveryUnknown(bridge, "the callback's receiver failed", why=why)
    return DeliveryRetryLater(bridge, "the callback was not taken", why=why, retry_after_s=retry_after_s)


def from_exception(
    bridge: str, error: aiohttp.ClientError | TimeoutError | OSError, place: str
) -> DeliveryError:
    """Return the error of a request that got no answer.

    A connection that never stood, DNS and TLS included, has surely sent nothing; whatever broke later may
    have arrived.
    """
    why = f"{place}: {str(error) or type(error).__name__}"
    if isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    ):
        return DeliveryRetryLater(bridge, "the callback's host can't be reached", why=why)
    return DeliveryUnknown(bridge, "the callback got no answer", why=why)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` asks for, 0 to a day; None without one or for nonsense.

    Source: RFC 9110, 10.2.3: whole seconds or an HTTP date.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
