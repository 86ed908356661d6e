"""WeChat's error numbers as ours, in one table. Pure.

Source: WeChat Official Account documentation, "global return codes"; the HTTP status is 200 for all of them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final, Literal

import aiohttp

from clawd.errors import (
    BridgeAuthError,
    BridgeError,
    BridgeNotReady,
    DeliveryError,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Meaning = Literal[
    "busy",
    "token",
    "unreachable",
    "media_gone",
    "settings",
    "parked",
    "too_long",
    "day_quota",
    "minute_quota",
    "duplicate",
    "no_right",
    "restricted",
]

MEANINGS: Final[Mapping[int, Meaning]] = {
    -1: "busy",
    40001: "token",
    40014: "token",
    42001: "token",
    40003: "unreachable",  # no follower has this OpenID
    48002: "unreachable",  # refuses messages
    40007: "media_gone",
    40013: "settings",  # AppID
    40125: "settings",  # AppSecret
    40164: "settings",  # our address is not on the account's list
    41002: "settings",
    41004: "settings",
    43004: "parked",  # does not follow us now
    45015: "parked",  # has not written for 48 hours
    45047: "parked",  # has had what one message of theirs allows
    45002: "too_long",
    45009: "day_quota",
    45011: "minute_quota",
    45065: "duplicate",
    48001: "no_right",
    50002: "restricted",
}

_REMEDIES: Final[Mapping[int, str]] = {
    40013: "compare bridges.{bridge}.app_id with the AppID at mp.weixin.qq.com",
    41002: "compare bridges.{bridge}.app_id with the AppID at mp.weixin.qq.com",
    40125: "get the AppSecret from mp.weixin.qq.com and set bridges.{bridge}.app_secret",
    41004: "get the AppSecret from mp.weixin.qq.com and set bridges.{bridge}.app_secret",
    40164: "add this host's address to the IP allow list at mp.weixin.qq.com",
}

_BEIJING: Final = timezone(timedelta(hours=8))
_TOKEN_RETRY_S: Final = 60.0
_MARGIN_S: Final = 2.0
_IN_ERRMSG: Final = re.compile(r"(?:access_token|secret)=[^&\s]*|(?<![\w-])[\w-]{60,}")


class ApiError(Exception):
    """The platform answered with an error number."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code}: {words}" if words else str(code))
        self.code = code

    @property
    def meaning(self) -> Meaning | None:
        """What the number means to us; None for all others."""
        return MEANINGS.get(self.code)


class NoAnswer(Exception):
    """There is no answer that says anything. `sent`: the request may have reached the platform."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


def api_error(code: int, errmsg: object) -> ApiError:
    """Return the error for what the platform said; keys that it repeats are left out."""
    words = "".join(c if c.isprintable() else " " for c in str(errmsg or ""))
    return ApiError(code, _IN_ERRMSG.sub("***", words)[:300])


def no_answer(error: aiohttp.ClientError | TimeoutError | OSError) -> NoAnswer:
    """Return what a request without an answer means.

    Never by the error's own text: aiohttp's names the URL, and the access token stands in that.
    """
    before = isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    )
    system = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    words = system.strerror if system is not None and system.strerror else type(error).__name__
    return NoAnswer(str(words), sent=not before)


def bridge_error(bridge: str, error: ApiError | NoAnswer) -> BridgeError:
    """Return what the supervisor should know: out of reach for now, or settings refused."""
    if isinstance(error, ApiError) and error.meaning == "settings":
        remedy = _REMEDIES[error.code].format(bridge=bridge)
        return BridgeAuthError(bridge, "WeChat refuses this account", why=str(error), remedy=remedy)
    return BridgeNotReady(bridge, "WeChat is out of reach", why=str(error))


def delivery_error(bridge: str, error: ApiError | NoAnswer, now: datetime) -> DeliveryError:
    """Return what the outbox should know: never, later, only after the next message, or nobody can tell."""
    why = str(error)
    if isinstance(error, NoAnswer):
        if error.sent:
            return DeliveryUnknown(bridge, "WeChat gave no clear answer", why=why)
        return DeliveryRetryLater(bridge, "no connection to WeChat", why=why)
    match error.meaning:
        case "busy":
            return DeliveryRetryLater(bridge, "WeChat is busy", why=why)
        case "token":
            return DeliveryRetryLater(
                bridge, "WeChat refuses the token it gave", why=why, retry_after_s=_TOKEN_RETRY_S
            )
        case "unreachable":
            return DeliveryRejected(bridge, "this person can't be reached", why=why, unreachable=True)
        case "settings":
            return DeliveryUnauthorized(bridge, "WeChat refuses this account", why=why)
        case "parked" | "no_right":
            return DeliveryParked(bridge, "only after this person's next message", why=why)
        case "day_quota":
            return DeliveryRetryLater(
                bridge, "the quota of the day is used up", why=why, retry_after_s=_until_midnight(now)
            )
        case "minute_quota":
            wait_s = 60 - now.astimezone(UTC).second + _MARGIN_S
            return DeliveryRetryLater(
                bridge, "the quota of the minute is used up", why=why, retry_after_s=wait_s
            )
        case _:
            return DeliveryRejected(bridge, "WeChat refuses the message", why=why)


def _until_midnight(now: datetime) -> float:
    """Return the seconds until the platform's day ends."""
    here = now.astimezone(_BEIJING)
    midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - here).total_seconds() + _MARGIN_S
