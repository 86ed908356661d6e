"""Callbacks: equal bytes for every attempt, ids without a dot, fresh signatures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from standardwebhooks import Webhook

from bridges.webhook.outbound import body_of, headers_of
from clawd.ids import delivery_id
from clawd.messages import Address, OutboundMessage
from clawd.webhooks.sending import webhook_id
from clawd.webhooks.signing import key_of
from tests.fakes.webhook_sender import ROTATED, SECRET

ADDRESS = Address(bridge="hook", account="webhook", chat="order-42")


def reply(**fields: object) -> OutboundMessage:
    known: dict[str, object] = {
        "id": delivery_id("i7", 12),
        "address": ADDRESS,
        "text": "你好 <b>",
        "created_at": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "seq": 3,
        "reference": "msg_clawd_0001",
    }
    return OutboundMessage(**(known | fields))  # type: ignore[arg-type]


def test_the_body_names_conversation_question_and_place() -> None:
    assert json.loads(body_of(reply())) == {
        "type": "message.reply",
        "timestamp": "2023-11-14T22:13:20Z",
        "data": {
            "conversation": "order-42",
            "in_reply_to": "msg_clawd_0001",
            "seq": 3,
            "part": 0,
            "final": True,
            "text": "你好 <b>",
            "attachments": [],
        },
    }


def test_only_the_last_part_of_a_long_reply_is_final() -> None:
    data = [json.loads(body_of(reply(part=part, parts=2)))["data"] for part in (0, 1)]
    assert [(d["part"], d["final"]) for d in data] == [(0, False), (1, True)]


def test_a_failed_turn_is_told_as_one() -> None:
    assert json.loads(body_of(reply(kind="failed")))["type"] == "message.failed"
    assert json.loads(body_of(reply(kind="push", seq=None, reference=None)))["type"] == "message.reply"


def test_a_repeat_has_the_same_bytes_and_id() -> None:
    elsewhere = reply().created_at.astimezone(timezone(timedelta(hours=8)))
    again = reply(repeated=True, created_at=elsewhere)
    assert body_of(again) == body_of(reply())
    assert webhook_id(again) == webhook_id(reply()) == "msg_i7-12"


def test_every_secret_signs_and_an_independent_library_agrees() -> None:
    now = datetime.now(UTC)
    body = body_of(reply())
    keys = (key_of(SECRET), key_of(ROTATED))
    headers = dict(headers_of(reply(), body, keys, timestamp=int(now.timestamp()), version="1.2"))
    assert headers["User-Agent"] == "clawd/1.2"
    for secret in (SECRET, ROTATED):
        assert Webhook(secret).verify(body, headers)
