"""Errors of chat platforms and of deliveries to them."""

from __future__ import annotations

from clawd.errors.base import EXIT_AUTH, EXIT_UNREACHABLE, ClawdError


class BridgeError(ClawdError):
    """A chat platform or its connection failed; `bridge` is the configured name."""

    code = "E-BRIDGE"
    exit_code = EXIT_UNREACHABLE

    def __init__(self, bridge: str, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where or f"bridge {bridge}", why=why, remedy=remedy)
        self.bridge = bridge


class BridgeNotReady(BridgeError):
    """The platform is out of reach for now; the supervisor waits and restarts the bridge.

    `retry_after_s` is the platform's own wish, None when it gave none.
    """

    code = "E-BRIDGE-DOWN"

    def __init__(self, bridge: str, what: str, *, why: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(bridge, what, why=why, remedy=f"clawd bridges test {bridge}")
        self.retry_after_s = retry_after_s


class BridgeAuthError(BridgeError):
    """The platform refuses our credentials; only a person can mend that.

    `retry_after_s` is 0 where the bridge itself waits for that person in its next `run`; None: probe it.
    """

    code = "E-BRIDGE-AUTH"
    exit_code = EXIT_AUTH

    def __init__(
        self,
        bridge: str,
        what: str,
        *,
        where: str = "",
        why: str = "",
        remedy: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(bridge, what, where=where, why=why, remedy=remedy)
        self.retry_after_s = retry_after_s


class FileGone(BridgeError):
    """A file that a message names can't be had any more, or never could."""

    code = "E-FILE"


class DeliveryError(BridgeError):
    """An outbound message was not delivered in the normal way."""

    code = "E-DELIVERY"


class DeliveryRejected(DeliveryError):
    """The platform will never take this message. `unreachable`: the chat itself is gone or blocked us."""

    def __init__(self, bridge: str, what: str, *, why: str = "", unreachable: bool = False) -> None:
        super().__init__(bridge, what, why=why)
        self.unreachable = unreachable


class DeliveryRetryLater(DeliveryError):
    """Surely not sent; try this chat again after `retry_after_s` seconds (None: our own back-off).

    `refused`: the receiver read it and said no, which is believed after a few times. `tried` is False where
    nobody was asked, so that this was no attempt.
    """

    def __init__(
        self,
        bridge: str,
        what: str,
        *,
        why: str = "",
        retry_after_s: float | None = None,
        refused: bool = False,
        tried: bool = True,
    ) -> None:
        super().__init__(bridge, what, why=why)
        self.retry_after_s = retry_after_s
        self.refused = refused
        self.tried = tried


class DeliveryUnauthorized(DeliveryError):
    """Surely not sent, and nothing will be until the bridge is connected with good credentials again."""


class DeliveryParked(DeliveryError):
    """The platform allows this only after the user's next message."""


class DeliveryMoved(DeliveryError):
    """The chat has a new address (a Telegram group became a supergroup); `chat` is its new id."""

    def __init__(self, bridge: str, what: str, *, chat: str) -> None:
        super().__init__(bridge, what)
        self.chat = chat


class DeliveryUnknown(DeliveryError):
    """The request may or may not have reached the platform."""
