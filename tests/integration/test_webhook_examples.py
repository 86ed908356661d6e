"""The examples of docs/bridges/webhook.md: read from the page, loaded by the real loader, and run."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bridges.webhook import PLUGIN, WebhookConfig
from clawd.bridge import HttpBridge
from clawd.config.loader import load_config
from clawd.conformance import MemoryInbox
from clawd.ids import DeliveryId, SystemClock
from clawd.messages import OutboundMessage
from clawd.plugins import find_plugins
from tests.fakes import hook_senders as senders
from tests.fakes.bridge_context import bridge_context
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clawd.messages import InboundMessage
    from tests.fakes.webhook_receiver import Call

PAGE = Path(__file__).parents[2] / "docs" / "bridges" / "webhook.md"
TOKEN = "Bearer a-token-of-enough-characters"


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver() as running:
        yield running


class Example:
    """One bridge of the page, whose replies go to a receiver on loopback."""

    def __init__(self, name: str, receiver: WebhookReceiver, folder: Path) -> None:
        blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
        (text,) = [block for block in blocks if name in yaml.safe_load(block).get("bridges", {})]
        base = receiver.url.removesuffix("/callback")
        path = folder / "config.yaml"
        path.write_text(re.sub(r'url: "https://[^/"]+', f'url: "{base}', text), encoding="utf-8")
        environ = dict.fromkeys(re.findall(r"\{env: (\w+)\}", text), TOKEN)
        config = load_config(path, environ, find_plugins()).config.bridges[name]
        assert isinstance(config, WebhookConfig)
        bridge = PLUGIN.create(bridge_context(name), config)
        assert isinstance(bridge, HttpBridge)
        self.bridge, self.inbox, self.receiver = bridge, MemoryInbox(), receiver

    async def hear(self, content: dict[str, Any], headers: dict[str, str] | None = None) -> int:
        """Return the status, 204 for what was ignored."""
        body = senders.packed(content)
        headers = headers or senders.github(body, secret=TOKEN)
        answer = await self.bridge.handle(request(body, headers), self.inbox)
        return answer.status if b'"ignored"' not in answer.body else 204

    async def reply(self, asked: InboundMessage, text: str) -> Call:
        message = OutboundMessage(
            id=DeliveryId("delivery:i7-1"),
            address=asked.address,
            text=text,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            reference=asked.reference,
        )
        await self.bridge.send(message)
        return self.receiver.calls[-1]


async def test_comments_on_github_are_answered_there(receiver: WebhookReceiver, tmp_path: Path) -> None:
    here = await asyncio.to_thread(Example, "repo", receiver, tmp_path)
    assert await here.hear(senders.github_comment("Why?")) == 202
    assert await here.hear(senders.github_comment("Because.", login="clawd-bot")) == 204
    (asked,) = here.inbox.messages
    call = await here.reply(asked, "Because of `x`.")
    assert (call.method, call.path) == ("POST", "/repos/octo/hello/issues/5/comments")
    assert json.loads(call.body) == {"body": "Because of `x`."}
    assert call.headers["authorization"] == TOKEN


async def test_alerts_are_told_to_the_agent(receiver: WebhookReceiver, tmp_path: Path) -> None:
    here = await asyncio.to_thread(Example, "alerts", receiver, tmp_path)
    alert = {
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "status": "firing",
        "commonLabels": {"alertname": "DiskFull", "severity": "page"},
        "commonAnnotations": {"summary": "The disk of db-1 is full"},
        "alerts": [{"status": "firing", "startsAt": "2026-01-01T12:00:00Z", "labels": {"host": "db-1"}}],
    }
    assert await here.hear(alert, senders.bearer(TOKEN)) == 202
    assert await here.hear(alert, senders.bearer(TOKEN)) == 200, "what Alertmanager repeats is one message"
    assert await here.hear(alert | {"status": "resolved"}, senders.bearer(TOKEN)) == 202
    assert await here.hear(alert | {"commonLabels": {"severity": "info"}}, senders.bearer(TOKEN)) == 204
    unlike = alert | {"commonLabels": {}, "groupKey": "other"}
    assert await here.hear(unlike, senders.bearer(TOKEN)) == 202
    first, resolved, plain = here.inbox.messages
    assert first.text.splitlines()[0] == "Alert DiskFull is firing: The disk of db-1 is full"
    assert '"host": "db-1"' in first.text
    assert first.address == resolved.address == plain.address
    assert plain.text.startswith("Alerts are firing: [")
    assert json.loads((await here.reply(first, "Look at db-1.")).body) == {
        "topic": "ops",
        "title": "clawd",
        "message": "Look at db-1.",
    }


async def test_a_chat_service_of_its_own_shape_is_a_chat(receiver: WebhookReceiver, tmp_path: Path) -> None:
    here = await asyncio.to_thread(Example, "matrix", receiver, tmp_path)
    headers = {"x-hook-token": TOKEN, "content-type": "application/json"}
    content = {"msgtype": "m.text", "body": "hi 你好"}
    said = {"event_id": "$e1", "room_id": "!a:example.org", "sender": "@ann:example.org", "content": content}
    assert await here.hear({"event": said}, headers) == 202
    assert await here.hear({"event": said}, headers) == 200
    notice = said | {"event_id": "$e2", "content": content | {"msgtype": "m.notice"}}
    assert await here.hear({"event": notice}, headers) == 204
    (asked,) = here.inbox.messages
    assert (asked.text, asked.sender.id, asked.address.chat) == (
        "hi 你好",
        "@ann:example.org",
        "!a:example.org",
    )
    assert asked.sent_at <= SystemClock().now()
    call = await here.reply(asked, "hello")
    assert call.method == "PUT"
    assert call.path == "/_matrix/client/v3/rooms/!a:example.org/send/m.room.message/msg_i7-1"
    assert json.loads(call.body) == {"msgtype": "m.notice", "body": "hello"}
