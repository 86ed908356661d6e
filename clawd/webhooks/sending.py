"""One signed call: its headers, the request, and as much of the answer as is of use.

Source: Standard Webhooks specification 1.0.0.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp

from clawd.errors import DeliveryRejected
from clawd.lookups import Lookups
from clawd.network import client_session, tls_context
from clawd.webhooks.addresses import is_ip, is_odd_number
from clawd.webhooks.answers import from_exception, retry_after
from clawd.webhooks.resolver import PublicOnly
from clawd.webhooks.signing import sign

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp.abc import AbstractResolver

    from clawd.config.schema import NetworkConfig
    from clawd.ids import Clock
    from clawd.messages import OutboundMessage

_CONNECT_TIMEOUT_S: Final = 5
_TOTAL_TIMEOUT_S: Final = 15
_ANSWER_TIMEOUT_S: Final = 2  # for the answer's body, of which only a few words are of use
_MAX_ANSWER_BYTES: Final = 64 * 1024

RETRY_SCHEDULE_S: Final = (5, 30, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long after each failed attempt the next one comes; the first is made at once."""

RETRY_JITTER: Final = 0.2
"""Each pause is stretched or cut by up to this share, so that what failed together does not come back together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver said."""

    status: int
    words: str  # the first printable ones of a body that goes with a failure
    retry_after_s: float | None
    body: bytes = b""  # its beginning, where it was asked for


def webhook_id(message: OutboundMessage) -> str:
    """Return the `webhook-id` of a delivery: `delivery:i7-12` becomes `msg_i7-12`. It never has a dot."""
    return "msg_" + message.id.removeprefix("delivery:").replace(".", "-")


def headers_of(
    message_id: str, body: bytes, keys: Sequence[bytes], *, timestamp: int, version: str
) -> Mapping[str, str]:
    """Return the headers of one attempt; only the time and the signature differ between attempts."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, message_id, timestamp, body),
        "Content-Type": "application/json",
        "User-Agent": f"clawd/{version}",
    }


class WebhookClient:
    """Makes single requests that follow no redirect, and reads little of their answers.

    Args:
        name: Of whose calls these are, for errors.
        network: The section that applies.
        clock: Tells how far a `Retry-After` date is.
        allowed: Whether a host may be connected to at this address; None for no limit. Asked once a name
            is resolved, of the very address that is connected to. Behind a proxy nobody is asked: it is
            the proxy that resolves names.
        resolver: Looks names up.
    """

    def __init__(
        self,
        name: str,
        network: NetworkConfig,
        clock: Clock,
        *,
        allowed: Callable[[str, str], bool] | None,
        resolver: Callable[[], AbstractResolver] = Lookups,
    ) -> None:
        self._name = name
        self._network = network
        self._clock = clock
        self._allowed = allowed
        self._resolver = resolver
        self._tls: ssl.SSLContext | None = None

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, read: bool = False
    ) -> Answer:
        """Return the answer, whatever its status, `read` with its body; raises DeliveryError when there was none."""
        host = urlsplit(url).hostname or ""
        if self._allowed is not None and (
            is_odd_number(host) or (is_ip(host) and not self._allowed(host, host))
        ):
            # No name is looked up for it, so the resolver would not be asked.
            raise DeliveryRejected(self._name, "the callback leads to a private address", why=place_of(url))
        # A session for each request: deliveries go on after their owner was cancelled, so none could be closed.
        try:
            async with (
                await self._session() as session,
                session.request(
                    method,
                    url,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    ssl=self._tls or True,
                ) as response,
            ):
                raw = await _beginning(response) if read or not response.ok else b""
                words = "" if response.ok else _first_words(raw)
                wait_s = retry_after(response.headers.get("Retry-After"), self._clock.now())
                return Answer(status=response.status, words=words, retry_after_s=wait_s, body=raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise from_exception(self._name, error, place_of(url)) from error

    async def _session(self) -> aiohttp.ClientSession:
        network = self._network
        if network.ca_file and self._tls is None:
            self._tls = await asyncio.to_thread(tls_context, network.ca_file)  # reads a file
        options: dict[str, object] = {}
        if self._allowed is not None and not network.proxy:
            options["resolver"] = PublicOnly(self._resolver(), self._allowed)
        return client_session(
            network.model_copy(update={"ca_file": None}),
            timeout=aiohttp.ClientTimeout(total=_TOTAL_TIMEOUT_S, sock_connect=_CONNECT_TIMEOUT_S),
            auto_decompress=False,
            **options,
        )


def place_of(url: str) -> str:
    """Return scheme, host and port of a URL; its path and query may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the first part of an answer's body; of one that hangs or breaks what came until then."""
    raw = bytearray()
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            while len(raw) < _MAX_ANSWER_BYTES and (chunk := await response.content.read(_MAX_ANSWER_BYTES)):
                raw += chunk
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass  # the status says enough
    return bytes(raw)


def _first_words(raw: bytes) -> str:
    """Return the first printable words of an answer, for the log."""
    text = raw[:800].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
