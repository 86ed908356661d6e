"""What tests of callbacks share: configurations, a message as the REST door brings it in, and time that passes."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from clawd.config.callbacks import AppCallbackConfig, CallbacksConfig
from clawd.config.schema import AppConfig, GatewayConfig
from clawd.ids import SystemClock, TurnId
from clawd.messages import Accepted, Address, InboundMessage, MessageId, Sender, Text
from tests.fakes.inner import PATIENCE_S, Inner
from tests.fakes.webhook_receiver import SECRET

if TYPE_CHECKING:
    from clawd.journal.reading import DeliveryView
    from clawd.testing import ManualClock
    from tests.fakes.webhook_receiver import WebhookReceiver

_ids = itertools.count(1)


def gateway(receiver: WebhookReceiver | None = None, **callbacks: Any) -> GatewayConfig:
    allow = [receiver.url] if receiver is not None else ["https://hooks.example.com/"]
    section = {
        "secret": SECRET,
        "allow": allow,
        "allow_http": True,
        "allow_private": ["127.0.0.1"],
    } | callbacks
    return GatewayConfig(callbacks=CallbacksConfig.model_validate(section))


def app(url: str, *events: str) -> GatewayConfig:
    section: dict[str, Any] = {"url": url, "secret": SECRET}
    if events:
        section["events"] = events
    callback = AppCallbackConfig.model_validate(section)
    shop = AppConfig.model_validate({"app_id": "shop", "token": "s" * 32, "callback": callback})
    return GatewayConfig(apps=(shop,))


async def say(inner: Inner, url: str | None = None, *, chat: str = "order-42", text: str = "hi") -> TurnId:
    """Bring in a message as the REST door does; return its turn."""
    message = InboundMessage(
        id=MessageId(f"api:shop:{next(_ids)}"),
        address=Address(bridge="api", account="shop", chat=chat),
        sender=Sender(id="shop/ann"),
        parts=(Text(text),),
        sent_at=SystemClock().now(),
        callback_url=url,
    )
    (result,) = await inner.inbox.accept([message])
    assert isinstance(result, Accepted)
    return result.turn


async def look(inner: Inner, clock: ManualClock, seconds: float) -> None:
    """Let time pass, and what is due then be tried and its outcome committed."""
    await clock.advance(seconds)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            # The first ping may be answered by a round that looked at the journal before.
            await inner.outbox.ping()
            await inner.outbox.ping()
            if not inner.outbox._sending:
                return
            await asyncio.wait(inner.outbox._sending)


async def state(inner: Inner, turn: str, wanted: str, attempt: int | None = None) -> DeliveryView:
    """Return a turn's only delivery once it is in this state."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = (await inner.views.trace(turn)).deliveries
            if found and found[0].state == wanted and attempt in (None, found[0].attempt):
                return found[0]
            await asyncio.sleep(0.005)
