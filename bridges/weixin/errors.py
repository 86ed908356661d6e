"""iLink's failures, and what they mean to us: one function per purpose, by number and status."""

from __future__ import annotations

from typing import Final

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

STALE: Final = -14
"""The login counts no more: another one took its place, or it was ended on the phone."""
RESTRICTED: Final = -2
"""Quota used up, window over, or context token too old; `errmsg` says no more than that."""
_GENERIC: Final = -1
_TOO_MANY: Final = 429


class IlinkError(Exception):
    """A call failed; its words name no token, no QR code and no context."""


class NotSent(IlinkError):
    """The connection failed before the request could have left: no name, no host, no TLS, no proxy."""


class NoAnswer(IlinkError):
    """The request left, and nobody can tell what became of it."""


class TooSlow(NoAnswer):
    """No answer in time; of a long poll the normal end."""


class HttpFailure(IlinkError):
    """An HTTP status that is no answer of the API; `retry_after_s` where a 429 says so."""

    def __init__(self, status: int, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.retry_after_s = retry_after_s


class Refused(IlinkError):
    """The API's own no: `code` is `ret` or `errcode`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"ret {code}" + (f": {message[:200]}" if message else ""))
        self.code = code


def is_stale(error: IlinkError) -> bool:
    """Whether only a new login helps."""
    return (isinstance(error, Refused) and error.code == STALE) or (
        isinstance(error, HttpFailure) and error.status == 401
    )


def is_restricted(error: IlinkError) -> bool:
    """Whether the user has to write before anything more goes to this chat."""
    return isinstance(error, Refused) and error.code == RESTRICTED


def login_needed(bridge: str, what: str, *, why: str = "") -> BridgeAuthError:
    """Return the error that only a login mends; the bridge itself waits for that, so there is no delay."""
    return BridgeAuthError(bridge, what, why=why, remedy=f"clawd bridges login {bridge}", retry_after_s=0)


def bridge_error(bridge: str, error: IlinkError) -> BridgeError:
    """Return what the supervisor should know: out of reach for now, or a login is needed."""
    if is_stale(error):
        return login_needed(bridge, "WeChat no longer knows this login", why=str(error))
    if isinstance(error, HttpFailure) and error.retry_after_s is not None:
        return BridgeNotReady(
            bridge, "WeChat asks us to wait", why=str(error), retry_after_s=error.retry_after_s
        )
    return BridgeNotReady(bridge, "WeChat is out of reach", why=str(error))


def delivery_error(bridge: str, error: IlinkError) -> DeliveryError:
    """Return what the outbox should know of a failed sendmessage."""
    why = str(error)
    if is_stale(error):
        return DeliveryUnauthorized(bridge, "WeChat no longer knows this login", why=why)
    match error:
        case NotSent():
            return DeliveryRetryLater(bridge, "no connection to WeChat", why=why)
        case HttpFailure(status=status) if status == _TOO_MANY:
            return DeliveryRetryLater(
                bridge, "WeChat asks us to wait", why=why, retry_after_s=error.retry_after_s
            )
        case HttpFailure(status=status) if 400 <= status < 500:
            return DeliveryRejected(bridge, "WeChat refuses the message", why=why)
        case Refused(code=code) if code == RESTRICTED:
            return DeliveryParked(bridge, "WeChat takes no more until the user writes", why=why)
        case Refused(code=code) if code != _GENERIC:  # -3 (invalid argument), and whatever else is a clear no
            return DeliveryRejected(bridge, "WeChat refuses the message", why=why)
        case _:
            return DeliveryUnknown(bridge, "WeChat gave no clear answer", why=why)


def upload_error(bridge: str, error: IlinkError) -> DeliveryError:
    """Return what the outbox should know of an upload that failed: nothing of the message is out yet."""
    if is_stale(error):
        return delivery_error(bridge, error)
    clear_no = isinstance(error, Refused) and error.code not in (_GENERIC, RESTRICTED)
    if clear_no or (
        isinstance(error, HttpFailure) and 400 <= error.status < 500 and error.status != _TOO_MANY
    ):
        return DeliveryRejected(bridge, "WeChat refuses the file", why=str(error))
    return DeliveryRetryLater(bridge, "the file could not be uploaded", why=str(error))
