"""Brings alerts to URLs: a `Bridge` for the outbox alone, in whose rows each call waits until it was taken.

A URL may itself be a secret, so it stands in the configuration alone: what the journal and the log name is a
target's key, or its host.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from clawd.errors import DeliveryError, DeliveryRejected, DeliveryUnknown
from clawd.messages import Address, BridgeCapabilities, Receipt
from clawd.webhooks.addresses import is_loopback_host, is_public
from clawd.webhooks.answers import from_status, kind_of
from clawd.webhooks.sending import WebhookClient, headers_of, place_of, webhook_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp.abc import AbstractResolver

    from clawd.bridge import Inbox
    from clawd.config.alerts import AlertTarget
    from clawd.config.schema import NetworkConfig
    from clawd.ids import Clock
    from clawd.messages import OutboundMessage

NAME: Final = "_alerts"
"""The bridge of the conversations that URLs are told in; no bridge of a configuration can be called so."""

_ACCOUNT: Final = "url"
TEST: Final = "test-"
"""Begins the account of a test."""
GONE: Final = "this target is not configured any more"
"""Why a call is given up whose URL was removed from the configuration."""
TEST_S: Final = 60.0
"""For so long a test is tried; one that comes later proves nothing to whoever asked for it."""

_CAPABILITIES: Final = BridgeCapabilities(
    text_limit=2**31,  # an alert is one call, however long
    marks_repeats=False,  # a receiver knows an alert by its fingerprint and its beginning
    retry_schedule_s=(5, 15, 30, 60),  # then every minute: a target is back soon, or for long not
    retry_jitter=0.2,
)


def key_of(url: str) -> str:
    """Return what stands for a URL outside of the configuration: 16 hexadecimal digits."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def address_of(url: str, test: str = "") -> Address:
    """Return the address of a URL's deliveries; each `test` has one of its own, so that it waits behind nothing."""
    return Address(bridge=NAME, account=f"{TEST}{test}" if test else _ACCOUNT, chat=key_of(url))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receiver:
    url: str
    keys: tuple[bytes, ...]
    headers: Mapping[str, str]
    client: WebhookClient


class AlertCalls:
    """Implements `clawd.bridge.Bridge` for the outbox.

    Args:
        clock: For times of attempts.
        version: Of clawd, for `User-Agent`.
        resolver: Looks names up; None: the system's.
    """

    name = NAME

    def __init__(
        self, clock: Clock, *, version: str, resolver: Callable[[], AbstractResolver] | None = None
    ) -> None:
        self._clock = clock
        self._version = version
        self._resolver = resolver
        self._receivers: Mapping[str, _Receiver] = {}

    @property
    def capabilities(self) -> BridgeCapabilities:
        """What a call can carry."""
        return _CAPABILITIES

    def configure(self, targets: Sequence[AlertTarget], network: NetworkConfig) -> None:
        """Call these from now on."""
        self._receivers = {
            key_of(target.url.reveal()): self._receiver(target, target.url.reveal(), network)
            for target in targets
            if target.url is not None
        }

    def _receiver(self, target: AlertTarget, url: str, network: NetworkConfig) -> _Receiver:
        free = target.allow_private or is_loopback_host(target.host)
        headers = {name: value.reveal() for name, value in target.headers.items()}
        if target.token is not None:
            headers["Authorization"] = f"Bearer {target.token.reveal()}"
        resolver = {"resolver": self._resolver} if self._resolver is not None else {}
        client = WebhookClient(
            NAME, network, self._clock, allowed=lambda _, address: free or is_public(address), **resolver
        )
        return _Receiver(url=url, keys=target.secret_keys, headers=headers, client=client)

    # --- the bridge ---------------------------------------------------------------------------------------

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive nothing: nobody writes to these conversations."""
        ready()
        await asyncio.Event().wait()

    async def send(self, message: OutboundMessage) -> Receipt:
        """Make one attempt; the message's text is the body.

        Raises:
            DeliveryError: it was not taken; of a target that is no more, in a way that nobody is told of.
        """
        receiver = self._receivers.get(message.address.chat)
        if receiver is None:
            raise DeliveryRejected(NAME, GONE, unreachable=True)
        age_s = (self._clock.now() - message.created_at).total_seconds()
        if message.address.account.startswith(TEST) and age_s > TEST_S:
            raise DeliveryRejected(NAME, f"the test did not arrive within {TEST_S:g} s", unreachable=True)
        body = message.text.encode(errors="replace")
        headers = headers_of(
            webhook_id(message),
            body,
            receiver.keys,
            timestamp=int(self._clock.now().timestamp()),
            version=self._version,
        )
        if not receiver.keys:
            headers = {name: value for name, value in headers.items() if not name.startswith("webhook-s")}
        try:
            answer = await receiver.client.request(
                "POST", receiver.url, {**headers, **receiver.headers}, body
            )
            if kind_of(answer.status) != "done":
                raise from_status(NAME, answer.status, answer.retry_after_s, answer.words)
        except DeliveryError as error:
            _word(error, receiver.url)
            raise
        return Receipt(remote_id=webhook_id(message))


def _word(error: DeliveryError, url: str) -> None:
    """Let an error speak of the target, not of a callback, and say plainly why nobody was reached."""
    cause = error.__cause__
    match error:
        case DeliveryRejected():
            did = "refused it" if error.why.startswith("HTTP ") else "leads to a private address"
        case DeliveryUnknown():
            did = "gave no answer" if cause is not None else "failed"
        case _:
            did = "can't be reached" if cause is not None else "did not take it"
    error.where, error.what = "", f"the alert target {place_of(url).partition('://')[2]} {did}"
    if cause is not None:
        error.why = _reason(cause)
    elif not error.why.startswith("HTTP "):
        error.why = ""


def _reason(cause: BaseException) -> str:
    match cause:
        case aiohttp.ClientConnectorDNSError():
            return f"looking up its name failed: {cause.os_error.strerror or cause.os_error}"
        case aiohttp.ClientConnectorCertificateError():
            wrong = cause.certificate_error
            return f"its certificate is not accepted: {getattr(wrong, 'verify_message', '') or wrong}"
        case aiohttp.ClientConnectorError():
            refused = isinstance(cause.os_error, ConnectionRefusedError)
            return "connection refused" if refused else cause.os_error.strerror or str(cause.os_error)
        case aiohttp.ClientHttpProxyError():
            return f"the proxy says HTTP {cause.status}"
        case TimeoutError():
            return "nothing came in time"
        case _:
            return str(cause) or type(cause).__name__
