"""A service that speaks Standard Webhooks, both ways."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridges.webhook import WebhookConfig
from bridges.webhook.bridge import WebhookBridge
from clawd.bridge import HttpBridge
from clawd.errors import InboxFull, JournalUnavailable
from clawd.messages import Address, text_of
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import Fault, WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, request, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import Bridge, BridgeContext, Inbox
    from clawd.conformance import Feature, MediaKind
    from clawd.messages import Part


class WebhookPlatform:
    """One endpoint, and the callback for its replies."""

    features: Sequence[Feature] = ("redelivery", "repeats", "limit", "reset", "refused", "garbage")
    secrets = (SECRET, CALLBACK_SECRET)

    def __init__(self, receiver: WebhookReceiver) -> None:
        self._receiver = receiver
        self._target: tuple[HttpBridge, Inbox] | None = None
        self._waiting: list[tuple[str, bytes]] = []
        self._last: tuple[str, bytes] = ("", b"")
        self._ids = itertools.count(1)
        self._url = receiver.url

    def bridge(self, context: BridgeContext) -> Bridge:
        self._name = context.name
        section = {"secret": SECRET, "callback_secret": CALLBACK_SECRET, "callback_url": self._url}
        return WebhookBridge(context, WebhookConfig.model_validate(section))

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        assert isinstance(bridge, HttpBridge)
        self._target = (bridge, inbox)

    def detach(self) -> None:
        self._target = None

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account="webhook", chat=chat)

    async def say(self, text: str, *, chat: str = "1") -> None:
        await self._post(event(text, conversation=chat, user={"id": f"u{chat}"}))

    async def say_again(self) -> None:
        self._waiting.append(self._last)
        await self._deliver()

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        raise NotImplementedError  # not one of the features

    async def send_garbage(self) -> None:
        await self._post(b'{"type": "message.created", "data": [1')

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        def here() -> list[str]:
            by_id = {call.id: call.event["data"] for call in self._receiver.delivered}
            return [data["text"] for data in by_id.values() if data["conversation"] == chat]

        await self._receiver.wait_until(lambda: len(here()) >= count, 20)
        return here()

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        raise NotImplementedError  # not one of the features

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        match feature:
            case "limit":
                self._receiver.fault(Fault(status=429, headers={"Retry-After": str(wait_s)}))
            case "reset":
                self._receiver.fault(Fault(kind="reset"))
            case _:
                await self._receiver.__aexit__(None, None, None)

    async def mend(self) -> None:
        """The faults are those of one call each."""

    def text_of(self, parts: Sequence[Part]) -> str:
        return text_of(tuple(parts))

    async def _post(self, body: bytes) -> None:
        self._last = (f"msg_{next(self._ids)}", body)
        self._waiting.append(self._last)
        await self._deliver()

    async def _deliver(self) -> None:
        """Deliver what waits, in order; what is answered 503 is tried again, as what comes later does."""
        while self._target is not None and self._waiting:
            bridge, inbox = self._target
            message_id, body = self._waiting[0]
            headers = signed(body, datetime.now(UTC), message_id=message_id)
            try:
                await bridge.handle(request(body, headers), inbox)
            except (InboxFull, JournalUnavailable):
                await asyncio.sleep(0.01)
                continue
            self._waiting.pop(0)
