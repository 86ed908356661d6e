"""Events as bodies: their fields, and that their bytes never change."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from clawd.ids import TurnId, delivery_id, question_id
from clawd.messages import Address, Callback, CallbackQuestion, OutboundMessage
from clawd.webhooks.events import body_of

AT = datetime(2026, 1, 31, 12, 0, 4, 250_000, tzinfo=UTC)
REPLY = OutboundMessage(
    id=delivery_id("k3x9", 12),
    address=Address(bridge="api", account="shop", chat="order-42"),
    text="你好",
    created_at=AT,
    turn=TurnId("turn:k3x9-7-1"),
    seq=1,
    callback=Callback(event="message.reply", status="answered", at=AT, url="https://hooks.example.com/"),
)


def test_the_bytes_of_a_reply_are_these_in_every_version() -> None:
    assert body_of(REPLY).decode() == (
        '{"type":"message.reply","timestamp":"2026-01-31T12:00:04.250000Z","data":{"conversation":"order-42",'
        '"in_reply_to":"turn:k3x9-7-1","turn":"turn:k3x9-7-1","seq":1,"status":"answered","text":"你好",'
        '"attachments":[],"final":true}}'
    )


def test_a_repeat_and_a_clock_that_was_set_change_no_byte() -> None:
    assert REPLY.callback is not None
    elsewhere = replace(REPLY.callback, at=AT.astimezone(timezone(timedelta(hours=8))))
    later = replace(REPLY, created_at=AT + timedelta(hours=1), repeated=True, insist=True, callback=elsewhere)
    assert body_of(later) == body_of(REPLY)


def test_a_question_names_what_an_answer_needs() -> None:
    question = CallbackQuestion(
        id=question_id("k3x9", 7, 1, 2), about="approval", tool="shell", subject="make clean", deadline=AT
    )
    asked = Callback(event="approval.requested", status="waiting", at=AT, app="shop", question=question)
    event = json.loads(body_of(replace(REPLY, text="", callback=asked)))
    assert event["type"] == "approval.requested"
    assert event["data"] == {
        "conversation": "order-42",
        "in_reply_to": "turn:k3x9-7-1",
        "turn": "turn:k3x9-7-1",
        "seq": 1,
        "status": "waiting",
        "approval": question.id,
        "about": "approval",
        "tool": "shell",
        "subject": "make clean",
        "deadline": "2026-01-31T12:00:04.250000Z",
        "final": False,
    }


def test_half_of_a_surrogate_pair_is_a_question_mark() -> None:
    assert json.loads(body_of(replace(REPLY, text="a\ud800b")))["data"]["text"] == "a?b"
