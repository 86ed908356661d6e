"""Brings events to programs by signed calls: the way out of conversations whose clients fetch their answers.

It is a `Bridge` for the outbox alone: what a call is about, how often it was tried and when it is due lie
there. Here is only which endpoints there are, and how they have behaved.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown, JournalError
from clawd.journal.endpoints import MAX_ROWS, DisabledEndpoint
from clawd.messages import BridgeCapabilities, Receipt
from clawd.webhooks.addresses import is_loopback_host, is_public
from clawd.webhooks.answers import kind_of
from clawd.webhooks.events import body_of
from clawd.webhooks.gate import Gates
from clawd.webhooks.sending import (
    RETRY_JITTER,
    RETRY_SCHEDULE_S,
    Answer,
    WebhookClient,
    headers_of,
    place_of,
    webhook_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from aiohttp.abc import AbstractResolver

    from clawd.bridge import Inbox
    from clawd.config.callbacks import AppCallbackConfig, CallbacksConfig
    from clawd.config.schema import GatewayConfig, NetworkConfig
    from clawd.ids import Clock
    from clawd.journal.endpoints import EndpointRows
    from clawd.messages import Callback, OutboundMessage

log = logging.getLogger(__name__)

NAME: Final = "api"
"""The bridge of the conversations that it speaks for."""

_CAPABILITIES: Final = BridgeCapabilities(
    text_limit=2**31,  # an event is one call, however long
    marks_repeats=False,  # a repeat carries the same id, and receivers drop ids they know
    retry_schedule_s=RETRY_SCHEDULE_S,
    retry_jitter=RETRY_JITTER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """Whose calls these are: what signs them, and what makes them."""

    keys: tuple[bytes, ...]
    client: WebhookClient
    settings: str  # stands for all that the configuration says of them


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    url: str
    by: _Keys


class Callbacks:
    """Implements `clawd.bridge.Bridge` for the outbox.

    Args:
        rows: Remember over restarts who asked not to be called.
        clock: For times of attempts, and for probes.
        version: Of clawd, for `User-Agent`.
        chance: Draws numbers from 0 to 1, to spread what was put off.
        resolver: Looks names up; None: the system's.
    """

    name = NAME

    def __init__(
        self,
        rows: EndpointRows,
        clock: Clock,
        *,
        version: str,
        chance: Callable[[], float],
        resolver: Callable[[], AbstractResolver] | None = None,
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._version = version
        self._chance = chance
        self._resolver = resolver
        self._clients: _Keys | None = None  # of URLs that come with messages
        self._config: CallbacksConfig | None = None
        self._apps: dict[str, _Endpoint] = {}
        self._events: Mapping[str, Collection[str]] = {}
        self._disabled: dict[str, DisabledEndpoint] = {}
        self._gates = Gates()

    @property
    def capabilities(self) -> BridgeCapabilities:
        """What a call can carry."""
        return _CAPABILITIES

    def configure(self, gateway: GatewayConfig, network: NetworkConfig) -> None:
        """Use these endpoints and keys from now on."""
        config = self._config = gateway.callbacks
        self._clients = None
        if config is not None:
            allowed = config.destinations
            self._clients = self._by(config.secret_keys, repr(config.allow), network, allowed.may_reach)
        self._apps = {
            app.app_id: _Endpoint(url=app.callback.url, by=self._app(app.callback, network))
            for app in gateway.apps
            if app.callback is not None
        }
        self._events = {
            app.app_id: frozenset(app.callback.events) for app in gateway.apps if app.callback is not None
        }

    async def load(self) -> None:
        """Take over from earlier runs which endpoints are disabled."""
        self._disabled = {endpoint.url: endpoint for endpoint in await self._rows.read()}

    def events(self, account: str) -> Collection[str]:
        """Return the events that an app is told of by itself; none for an account that is no such app."""
        return self._events.get(account, ())

    # --- the bridge ---------------------------------------------------------------------------------------

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive nothing: what is written to its conversations comes through the gateway."""
        ready()
        await asyncio.Event().wait()

    async def send(self, message: OutboundMessage) -> Receipt:
        """Make one attempt.

        Raises:
            DeliveryError: as `_refusal` says; also where the endpoint is not to be called now.
        """
        callback = message.callback
        if callback is None:
            raise DeliveryRejected(NAME, "it is no event", unreachable=True)
        endpoint = self._endpoint(callback)
        if not message.insist:
            self._check_enabled(endpoint)
        place = place_of(endpoint.url)
        gate = self._gates.of(place)
        began = self._clock.monotonic()
        if (wait_s := gate.enter(began)) is not None:
            raise DeliveryRetryLater(
                NAME,
                f"{place} is not called now",
                why="it keeps failing" if gate.failures else "others are under way",
                retry_after_s=wait_s * (1 + RETRY_JITTER * self._chance()),
                tried=False,
            )
        well = False
        try:
            answer = await self._call(endpoint, message)
            well = kind_of(answer.status) not in ("later", "failed")
        finally:
            gate.leave(began, self._clock.monotonic(), well=well)
            self._gates.left(place, gate)
        await self._judge(endpoint, answer)
        return Receipt(remote_id=webhook_id(message))

    async def _call(self, endpoint: _Endpoint, message: OutboundMessage) -> Answer:
        body = body_of(message)
        headers = headers_of(
            webhook_id(message),
            body,
            endpoint.by.keys,
            timestamp=int(self._clock.now().timestamp()),
            version=self._version,
        )
        return await endpoint.by.client.request("POST", endpoint.url, headers, body)

    async def _judge(self, endpoint: _Endpoint, answer: Answer) -> None:
        """Return when the call was taken; raises DeliveryError otherwise."""
        kind = kind_of(answer.status)
        if kind == "gone":
            await self._disable(endpoint)
        if kind == "done":
            if self._disabled.pop(endpoint.url, None) is not None:
                await self._rows.delete(endpoint.url)
                log.info("endpoint_enabled", extra={"endpoint": place_of(endpoint.url)})
            return
        raise _refusal(answer)

    # --- endpoints ----------------------------------------------------------------------------------------

    def _endpoint(self, callback: Callback) -> _Endpoint:
        """Return where an event goes by the configuration in force; raises DeliveryRejected."""
        if callback.app is not None:
            if (found := self._apps.get(callback.app)) is not None:
                return found
            raise DeliveryRejected(NAME, f"the app {callback.app} has no callback any more", unreachable=True)
        if self._clients is None or self._config is None or callback.url is None:
            raise DeliveryRejected(NAME, "gateway.callbacks is not set any more", unreachable=True)
        try:
            url = self._config.destinations.check(callback.url)
        except ValueError as error:
            raise DeliveryRejected(NAME, "this URL may not be called any more", why=str(error)) from error
        return _Endpoint(url=url, by=self._clients)

    def _check_enabled(self, endpoint: _Endpoint) -> None:
        """Raise DeliveryRejected, of which nobody is told, while the endpoint is disabled."""
        disabled = self._disabled.get(endpoint.url)
        if disabled is not None and disabled.settings == endpoint.by.settings:
            raise DeliveryRejected(
                NAME,
                f"{place_of(endpoint.url)} is not called any more",
                why=f"it answered 410 at {disabled.since:%Y-%m-%d %H:%M} UTC",
                unreachable=True,
            )

    async def keep_disabled(self, endpoint: DisabledEndpoint) -> None:
        """Remember an endpoint that is gone, over restarts; of too many, the oldest is forgotten."""
        self._disabled[endpoint.url] = endpoint
        if len(self._disabled) > MAX_ROWS:
            del self._disabled[next(iter(self._disabled))]
        try:
            await self._rows.put(endpoint)
        except JournalError:
            self._disabled.pop(endpoint.url, None)  # not kept: it is found out, and told, the next time
            raise

    async def _disable(self, endpoint: _Endpoint) -> None:
        """Call this endpoint no more; raises DeliveryRejected: the first time owners hear of it."""
        self._check_enabled(endpoint)
        disabled = DisabledEndpoint(url=endpoint.url, settings=endpoint.by.settings, since=self._clock.now())
        await self.keep_disabled(disabled)
        place = place_of(endpoint.url)
        log.warning("endpoint_disabled", extra={"endpoint": place})
        raise DeliveryRejected(
            NAME,
            f"{place} is gone, and is called no more",
            why="HTTP 410; a change of its configuration, or clawd dead resubmit, tries it again",
        )

    def _app(self, config: AppCallbackConfig, network: NetworkConfig) -> _Keys:
        free = config.allow_private or is_loopback_host(config.host)

        def may_reach(_host: str, address: str) -> bool:
            return free or is_public(address)

        return self._by(config.secret_keys, "", network, may_reach)

    def _by(
        self,
        keys: tuple[bytes, ...],
        settings: str,
        network: NetworkConfig,
        may_reach: Callable[[str, str], bool],
    ) -> _Keys:
        digest = hashlib.sha256(settings.encode())
        for key in keys:
            digest.update(hashlib.sha256(key).digest())
        resolver = {"resolver": self._resolver} if self._resolver is not None else {}
        client = WebhookClient(NAME, network, self._clock, allowed=may_reach, **resolver)
        return _Keys(keys=keys, client=client, settings=digest.hexdigest()[:32])


def _refusal(answer: Answer) -> DeliveryError:
    """Return the error of an answer that is neither a receipt nor 410."""
    why = f"HTTP {answer.status}" + (f": {answer.words}" if answer.words else "")
    match kind_of(answer.status):
        case "failed" if answer.retry_after_s is None:
            return DeliveryUnknown(NAME, "the callback's receiver failed", why=why)
        case "failed" | "later":
            return DeliveryRetryLater(
                NAME, "the callback was not taken", why=why, retry_after_s=answer.retry_after_s
            )
        case _:
            return DeliveryRetryLater(
                NAME, "the callback was refused", why=why, retry_after_s=answer.retry_after_s, refused=True
            )
