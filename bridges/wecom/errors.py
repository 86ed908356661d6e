"""WeCom's failures as ours: by error code, for each purpose one function."""

from __future__ import annotations

from typing import Final

import aiohttp

from clawd.errors import (
    BridgeAuthError,
    BridgeError,
    BridgeNotReady,
    DeliveryError,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnknown,
)

CONFLICT: Final = 6000  # two frames of one req_id under way
NOT_SUBSCRIBED: Final = 846609
REPLY_OVER: Final = frozenset({846605, 846608})  # the req_id, or its stream, can't be answered any more

_WRONG_SECRET: Final = frozenset({853000, 40001, 40013, 40014, 42001, 48002})
_TOO_OFTEN: Final = frozenset({45009, 45033})
_BUSY: Final = frozenset({-1, CONFLICT})
_NO_SUCH_CHAT: Final = frozenset({93006, 81013})

TOO_OFTEN_RETRY_S: Final = 60.0
SUBSCRIBED_TOO_OFTEN_RETRY_S: Final = 180.0
REFUSED_RETRY_S: Final = 60.0
NEVER_S: Final = 10 * 365 * 86400.0


class ApiError(Exception):
    """The platform answered with an error code."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"errcode {errcode}: {errmsg}" if errmsg else f"errcode {errcode}")
        self.errcode = errcode


class NotSent(Exception):
    """There is no connection: the frame surely did not leave."""


class NoAnswer(Exception):
    """The frame may have arrived; nothing was heard of it."""


SendError = ApiError | NotSent | NoAnswer


def words(text: str, secret: str) -> str:
    """Return the platform's own words in one short line, without our secret should it repeat it."""
    line = " ".join(text.replace(secret, "***").split())
    return "".join(c for c in line if c.isprintable())[:200]


def handshake_error(bridge: str, error: BaseException) -> BridgeError:
    """Return what a connection that never opened means."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status in (401, 403, 404):
            return BridgeAuthError(
                bridge,
                "WeCom refuses the connection",
                why=f"HTTP {error.status}",
                remedy=f"check bridges.{bridge}.ws_url; bot_id and secret are those of an AI bot in "
                "long-connection mode, not corpid and corpsecret",
            )
        wait_s = TOO_OFTEN_RETRY_S if error.status == 429 else None
        return BridgeNotReady(
            bridge, "WeCom is out of reach", why=f"HTTP {error.status}", retry_after_s=wait_s
        )
    reason = getattr(getattr(error, "os_error", error), "strerror", None)
    why = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return BridgeNotReady(bridge, "WeCom is out of reach", why=why)


def subscribe_error(bridge: str, error: SendError) -> BridgeError:
    """Return what a refused or unanswered subscription means."""
    if not isinstance(error, ApiError):
        return BridgeNotReady(bridge, "WeCom did not answer the subscription", why=str(error))
    if error.errcode in _WRONG_SECRET:
        return BridgeAuthError(
            bridge,
            "WeCom refuses the bot's secret",
            why=str(error),
            remedy=f"copy bot_id and secret from the bot's page (API mode, long connection) into bridges.{bridge}",
        )
    if error.errcode in _TOO_OFTEN:
        return BridgeNotReady(
            bridge,
            "subscribed too often",
            why=str(error),
            retry_after_s=SUBSCRIBED_TOO_OFTEN_RETRY_S,
        )
    return BridgeNotReady(
        bridge, "WeCom refuses the subscription", why=str(error), retry_after_s=REFUSED_RETRY_S
    )


def kicked_error(bridge: str, retry_after_s: float | None) -> BridgeNotReady:
    """Return what it means that another connection of this bot took over."""
    when = f"trying again in {retry_after_s:.0f} s" if retry_after_s else "not coming back by itself"
    return BridgeNotReady(
        bridge,
        f"kicked: another connection of this bot took over; {when}",
        why="a bot has one live connection; end the other program, then restart clawd",
        retry_after_s=retry_after_s or NEVER_S,
    )


def delivery_error(bridge: str, error: SendError) -> DeliveryError:
    """Return what the outbox should know: never, later, or nobody can tell."""
    match error:
        case NotSent():
            return DeliveryRetryLater(bridge, "no connection to WeCom", why=str(error))
        case NoAnswer():
            return DeliveryUnknown(bridge, "WeCom gave no clear answer", why=str(error))
        case ApiError(errcode=code) if code in _TOO_OFTEN:
            return DeliveryRetryLater(
                bridge, "WeCom limits our messages", why=str(error), retry_after_s=TOO_OFTEN_RETRY_S
            )
        case ApiError(errcode=code) if code in _BUSY or code == NOT_SUBSCRIBED:
            return DeliveryRetryLater(bridge, "WeCom did not take it now", why=str(error))
        case ApiError(errcode=code) if code in _NO_SUCH_CHAT:
            return DeliveryRejected(bridge, "this chat can't be reached", why=str(error), unreachable=True)
        case _:
            return DeliveryRejected(bridge, "WeCom refuses the message", why=str(error))
