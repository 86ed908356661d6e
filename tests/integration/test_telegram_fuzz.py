"""Thousands of calls as no Telegram makes them: none fails, none without the secret lets anything in."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from bridges.telegram.webhook import SECRET_HEADER
from clawd.bridge import HttpRequest
from clawd.conformance import MemoryInbox
from clawd.journal.codec import decode_message, encode_message
from clawd.messages import InboundMessage, Unreadable
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import running
from tests.integration.test_telegram_webhook import called
from tests.seeds import dice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.telegram.called import CalledTelegramBridge

PERSON = {"id": 7, "is_bot": False, "first_name": "Ann", "language_code": "en"}
CHAT = {"id": 7, "type": "private", "first_name": "Ann"}
GROUP = {"id": -1007, "type": "supergroup", "title": "G", "is_forum": True}
SAID = {"message_id": 5, "date": 1_790_000_000, "chat": CHAT, "from": PERSON, "text": "hi @bot /new 😀"}
SIZE = {"file_id": "f", "file_unique_id": "u", "width": 90, "height": 90, "file_size": 1000}
VOICE = {"file_id": "v", "file_unique_id": "w", "duration": 3, "mime_type": "audio/ogg"}
QUOTED = {
    **SAID,
    "chat": GROUP,
    "message_thread_id": 4,
    "is_topic_message": True,
    "reply_to_message": {**SAID, "message_id": 4},
    "quote": {"text": "hi", "position": 0},
    "forward_origin": {"type": "user", "date": 1, "sender_user": PERSON},
    "entities": [
        {"type": "mention", "offset": 3, "length": 4},
        {"type": "bot_command", "offset": 8, "length": 4},
    ],
}
ALBUM = {**SAID, "text": None, "photo": [SIZE, SIZE], "caption": "look", "media_group_id": "m"}
PRESS = {"id": "1", "from": PERSON, "chat_instance": "c", "data": "a:k1", "message": {**SAID, "from": None}}
MEMBER = {"user": PERSON, "status": "member"}
UPDATES: tuple[dict[str, Any], ...] = (
    {"message": SAID},
    {"message": QUOTED},
    {"message": ALBUM},
    {"message": {**SAID, "text": None, "voice": VOICE, "document": {**VOICE, "file_name": "a.pdf"}}},
    {"message": {**SAID, "migrate_to_chat_id": -1008}},
    {"edited_message": {**SAID, "edit_date": 1_790_000_001}},
    {"callback_query": PRESS},
    {
        "my_chat_member": {
            "chat": GROUP,
            "from": PERSON,
            "date": 1,
            "old_chat_member": MEMBER,
            "new_chat_member": MEMBER,
        }
    },
    {"stopped_message_generation": {"chat": CHAT, "draft_id": 5}},
)
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**63, 2**200, 1.5, 1e300, "", "x" * 5000, "\ud800", "\x00\x1b[2J", "😀" * 50, [], {},
    [[[[]]]], {"a": {"b": {}}}, "a:", "7", ["text"], {"id": 7},
)  # fmt: skip


class Worse:
    """Makes an update worse in ways that a chance decides."""

    def __init__(self, seed: int) -> None:
        self.chance = dice(seed)
        self.number = 1000

    def body(self) -> bytes:
        """Return the body of one call."""
        self.number += 1
        update = json.loads(json.dumps({"update_id": self.number, **self.chance.choice(UPDATES)}))
        for _ in range(self.chance.randrange(4)):
            self._spoil(update)
        raw = json.dumps(update).encode()
        match self.chance.randrange(10):
            case 0:
                return raw[: self.chance.randrange(len(raw))]
            case 1:
                at = self.chance.randrange(len(raw))
                return raw[:at] + self.chance.randbytes(3) + raw[at:]
            case 2:
                return self.chance.choice(
                    (b"", b"[]", b"null", b"[" * 20_000, b'"\\ud800"', b"NaN", b"\xff\xfe{}")
                )
            case _:
                return raw

    def _spoil(self, node: Any) -> None:
        """Replace, drop, add or move something, somewhere inside."""
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                return
            key = self.chance.choice(keys)
            if isinstance(node[key], dict | list) and self.chance.random() < 0.7:
                node = node[key]
                continue
            if isinstance(node, dict) and self.chance.random() < 0.3:
                del node[key]
            elif isinstance(node, dict) and self.chance.random() < 0.2:
                node["new_field"] = deepcopy(self.chance.choice(JUNK))
            else:
                node[key] = deepcopy(self.chance.choice(JUNK))
            return


@pytest.fixture
async def bridge() -> AsyncIterator[tuple[CalledTelegramBridge, str]]:
    async with FakeBotApi() as api:
        at_work = called(api, webhook_secret="0123456789abcdef")
        async with running(at_work, MemoryInbox()) as state:
            await api.wait_for_calls("getWebhookInfo", 1)
            yield at_work, "0123456789abcdef"
            await state.stop()
        await at_work.close()


async def storm(bridge: CalledTelegramBridge, secret: str, *, seed: int, calls: int) -> None:
    worse, inbox = Worse(seed), MemoryInbox()
    taken = 0
    for _ in range(calls):
        known = worse.chance.random() < 0.8
        shown = (
            secret
            if known
            else worse.chance.choice(("", secret[:-1], secret + "0", secret.upper(), "é" * 16))
        )
        request = HttpRequest(
            method="POST",
            headers={SECRET_HEADER: shown},
            repeated=frozenset(),
            query={},
            body=worse.body(),
            remote="192.0.2.1",
        )
        before = len(inbox.batches)
        reply = await bridge.handle(request, inbox)
        assert reply.status == (200 if known else 401), request.body
        if not known:
            assert len(inbox.batches) == before, "nothing comes in without the secret"
        taken += known
    messages = inbox.messages
    assert len(messages) > taken / 20, "what is hardly spoilt is read"
    assert any(isinstance(event, Unreadable) for event in inbox.accepted)
    for message in messages:
        assert isinstance(message, InboundMessage)
        assert message.address.bridge == "telegram"
        body = encode_message(message)
        body.encode()  # it can be stored
        assert decode_message(1, body) == message


async def test_no_call_fails_and_none_without_the_secret_lets_anything_in(
    bridge: tuple[CalledTelegramBridge, str],
) -> None:
    await storm(*bridge, seed=20_261_126, calls=500)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ten_thousand_calls(bridge: tuple[CalledTelegramBridge, str]) -> None:
    for seed in range(10):
        await storm(*bridge, seed=seed, calls=1000)
