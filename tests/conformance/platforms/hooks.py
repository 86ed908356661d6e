"""Slack and Feishu, as services that call a webhook and are answered by their API."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridges.webhook import WebhookConfig
from bridges.webhook.bridge import WebhookBridge
from clawd.bridge import HttpBridge
from clawd.errors import InboxFull, JournalUnavailable
from clawd.messages import Address, text_of
from tests.fakes import hook_senders as senders
from tests.fakes.chat_services import APP_SECRET, SLACK_TOKEN, Plan
from tests.fakes.webhook_sender import request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import Bridge, BridgeContext, Inbox
    from clawd.conformance import Feature, MediaKind
    from clawd.messages import Part
    from tests.fakes.chat_services import ChatServices

    Request = tuple[bytes, dict[str, str]]


class _CalledPlatform:
    """What both have: what is not answered with a 2xx is delivered again, in order."""

    features: Sequence[Feature] = (
        "redelivery",
        "repeats",
        "connection",
        "credentials",
        "limit",
        "gone",
        "reset",
        "refused",
        "garbage",
    )
    secrets: Sequence[str] = ()
    section: dict[str, Any]

    def __init__(self, services: ChatServices) -> None:
        self._services = services
        self._target: tuple[HttpBridge, Inbox] | None = None
        self._waiting: list[bytes] = []
        self._last = b""
        self._ids = itertools.count(1)
        self._name = ""

    def bridge(self, context: BridgeContext) -> Bridge:
        self._name = context.name
        return WebhookBridge(context, WebhookConfig.model_validate(self.section))

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        assert isinstance(bridge, HttpBridge)
        self._target = (bridge, inbox)

    def detach(self) -> None:
        self._target = None

    async def say(self, text: str, *, chat: str = "1") -> None:
        await self._post(senders.packed(self._message(text, chat, next(self._ids))))

    async def say_again(self) -> None:
        await self._post(self._last)

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        raise NotImplementedError  # not one of the features

    async def send_garbage(self) -> None:
        await self._post(b'{"type": "event_callback", "event": [1')

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        raise NotImplementedError  # not one of the features

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        return [sent.text for sent in await self._services.wait_for(count, timeout_s=20)]

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        match feature:
            case "connection":
                self._services.down = True
            case "credentials":
                self._services.refused = True
            case "reset":
                self._services.plan(Plan(fault="reset", taken=True))
            case "refused":
                await self._services.__aexit__(None, None, None)
            case _:
                self._services.plan(self._refusal(feature, wait_s))

    async def mend(self) -> None:
        self._services.down = self._services.refused = False

    def text_of(self, parts: Sequence[Part]) -> str:
        return text_of(tuple(parts))

    async def _post(self, content: bytes) -> None:
        self._last = content
        self._waiting.append(content)
        while self._target is not None and self._waiting:
            bridge, inbox = self._target
            try:
                answer = await bridge.handle(request(*self._signed(self._waiting[0])), inbox)
            except (InboxFull, JournalUnavailable):
                await asyncio.sleep(0.01)
                continue
            assert answer.status == 200
            self._waiting.pop(0)

    def address(self, chat: str) -> Address:
        raise NotImplementedError

    def _message(self, text: str, chat: str, number: int) -> dict[str, Any]:
        raise NotImplementedError

    def _signed(self, content: bytes) -> Request:
        raise NotImplementedError

    def _refusal(self, feature: Feature, wait_s: int) -> Plan:
        raise NotImplementedError


class SlackPlatform(_CalledPlatform):
    """Direct messages to an app."""

    secrets = (senders.SLACK, SLACK_TOKEN)

    def __init__(self, services: ChatServices) -> None:
        super().__init__(services)
        self.section = {
            "preset": "slack",
            "secret": senders.SLACK,
            "reply_token": SLACK_TOKEN,
            "api_base": f"{services.url}/slack",
        }

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account="T1", chat=f"D{chat}")

    def _message(self, text: str, chat: str, number: int) -> dict[str, Any]:
        return senders.slack_message(text, at=f"1700000000.{number:06}", channel=f"D{chat}", user=f"U{chat}")

    def _signed(self, content: bytes) -> Request:
        return content, senders.slack(content, datetime.now(UTC))

    def _refusal(self, feature: Feature, wait_s: int) -> Plan:
        if feature == "gone":
            return Plan(answer={"ok": False, "error": "channel_not_found"})
        headers = {"Retry-After": str(wait_s)}
        return Plan(status=429, answer={"ok": False, "error": "ratelimited"}, headers=headers)


class FeishuPlatform(_CalledPlatform):
    """Private messages to an app."""

    secrets = (senders.FEISHU, APP_SECRET)

    def __init__(self, services: ChatServices) -> None:
        super().__init__(services)
        self.section = {
            "preset": "feishu",
            "secret": senders.FEISHU,
            "app_id": "cli_x",
            "app_secret": APP_SECRET,
            "api_base": services.url,
        }

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account="cli_x", chat=f"oc_{chat}")

    def _message(self, text: str, chat: str, number: int) -> dict[str, Any]:
        message = senders.feishu_message(text, message_id=f"om_{number}", chat=f"oc_{chat}")
        message["event"]["sender"]["sender_id"]["open_id"] = f"ou_{chat}"
        return message

    def _signed(self, content: bytes) -> Request:
        return senders.feishu(content, datetime.now(UTC))

    def _refusal(self, feature: Feature, wait_s: int) -> Plan:
        if feature == "gone":
            return Plan(status=400, answer={"code": 230002, "msg": "bot not in chat"})
        return Plan(
            status=429, answer={"code": 99991400, "msg": "frequency"}, headers={"Retry-After": str(wait_s)}
        )
