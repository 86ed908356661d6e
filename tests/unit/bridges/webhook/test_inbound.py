"""Requests become messages only when signed, fresh and well formed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridges.webhook.envelope import Rejected
from bridges.webhook.inbound import check_signature, to_inbound
from clawd.bridge import HttpRequest
from clawd.messages import Address, Audio, File, Image, InboundMessage, Text
from clawd.webhooks.signing import key_of, sign
from tests.fakes.webhook_sender import ROTATED, SECRET, event, request, signed

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
KEYS = (key_of(SECRET), key_of(ROTATED))


def read(given: HttpRequest, *, now: datetime = NOW) -> InboundMessage:
    envelope = check_signature(given, KEYS, now=now, tolerance_s=300)
    return to_inbound("hook", envelope, given.body)


def refusal(given: HttpRequest, *, now: datetime = NOW) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(given, now=now)
    return caught.value


def of_body(body: bytes, **kwargs: Any) -> HttpRequest:
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": sign(KEYS[:1], "msg_1", int(NOW.timestamp()), body),
    }
    return request(body, headers | kwargs.pop("headers", {}), **kwargs)


def test_a_message_carries_all_that_was_said() -> None:
    body = event(
        "你好",
        conversation="order-42",
        user={"id": "u1", "name": "Ann", "language": "zh-CN", "more": 1},
        attachments=[
            {"url": "https://x.test/a.pdf", "name": "a.pdf", "mime": "application/pdf", "size": 123},
            {"url": "https://x.test/b.png", "mime": "image/png"},
            {"url": "https://x.test/c.ogg", "mime": "audio/ogg", "size": 5},
        ],
        metadata={"k": "v"},
    )
    message = read(of_body(body))
    assert message.id == "webhook:hook:msg_1"
    assert message.address == Address(bridge="hook", account="webhook", chat="order-42")
    assert (message.sender.id, message.sender.name, message.sender.language) == ("u1", "Ann", "zh-CN")
    assert message.parts == (
        Text("你好"),
        File(ref="https://x.test/a.pdf", name="a.pdf", mime="application/pdf", size=123),
        Image(ref="https://x.test/b.png", mime="image/png"),
        Audio(ref="https://x.test/c.ogg", mime="audio/ogg", size=5),
    )
    assert message.sent_at == NOW
    assert message.reference == "msg_1"
    assert message.digest is not None


def test_without_a_conversation_each_user_has_one_of_their_own() -> None:
    assert read(of_body(event(user={"id": "u1"}))).address.chat == "user:u1"
    assert read(of_body(event())).address.chat == "default"


def test_without_a_time_in_the_body_the_signed_one_counts() -> None:
    body = b'{"type":"message.created","data":{"text":"hi"}}'
    assert read(of_body(body)).sent_at == NOW


def test_both_secrets_of_a_rotation_are_accepted_and_both_header_families() -> None:
    body = event()
    for secret in (SECRET, ROTATED):
        for family in ("webhook", "svix"):
            assert read(request(body, signed(body, NOW, secret=secret, family=family))).text == "hi"
    third = signed(body, NOW, secret="whsec_QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")
    assert refusal(request(body, third)).status == 401


@pytest.mark.parametrize("off_s", [-301, -1000, 301, 86_400])
def test_a_time_outside_the_window_is_refused_in_both_directions(off_s: int) -> None:
    body = event()
    stale = refusal(request(body, signed(body, NOW)), now=NOW + timedelta(seconds=off_s))
    assert stale.status == 401


@pytest.mark.parametrize("off_s", [-300, -299, 0, 299, 300])
def test_a_time_inside_the_window_is_accepted(off_s: int) -> None:
    body = event()
    assert read(request(body, signed(body, NOW)), now=NOW + timedelta(seconds=off_s)).text == "hi"


def test_every_reason_for_401_sounds_the_same() -> None:
    body = event()
    good = signed(body, NOW)
    nothing = {"content-type": "application/json"}
    unsigned = [
        refusal(request(body, nothing)),
        refusal(request(body + b" ", good)),
        refusal(request(body, good), now=NOW + timedelta(hours=1)),
        *(
            refusal(request(body, {k: v for k, v in good.items() if k != name}))
            for name in good
            if "webhook" in name
        ),
    ]
    assert {problem.status for problem in unsigned} == {401}
    assert len({problem.message for problem in unsigned}) == 1
    assert len({problem.why for problem in unsigned}) >= 5  # our own log knows better


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    body = event()
    assert refusal(request(body, signed(body, NOW), repeated=frozenset({name}))).status == 400


@pytest.mark.parametrize(
    "timestamp", ["1e9", "-1700000000", "1700000000.0", "1" * 20, "+1", "0x10", "１７", "17 00", "\udcff"]
)
def test_a_timestamp_that_is_no_whole_number_is_refused(timestamp: str) -> None:
    assert refusal(of_body(event(), headers={"webhook-timestamp": timestamp})).status == 400


@pytest.mark.parametrize("message_id", ["a.b", "x" * 257, "x" * 10_240, "a b", "ü", "\udcff", "a\x00b"])
def test_an_id_that_is_long_or_odd_is_refused(message_id: str) -> None:
    assert refusal(of_body(event(), headers={"webhook-id": message_id})).status == 400


def test_a_hundred_signatures_are_not_worked_through() -> None:
    headers = {"webhook-signature": " ".join(["v1,AAAA"] * 100)}
    assert refusal(of_body(event(), headers=headers)).status == 401


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not UTF-8"),
        (b'{"a":' * 10_000, "levels deep"),
        (b'{"type":"message.created","data":{"text":NaN}}', "NaN"),
        (b'{"type":"message.created","type":"x","data":{}}', "twice"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (rb'{"type":"message.created","data":{"text":"\ud800"}}', "surrogate"),
        (b'{"data":{"text":"hi"}}', "type: "),
        (b'{"type":"ping","data":{"text":"hi"}}', "type: "),
        (b'{"type":"message.created"}', "data: "),
        (b'{"type":"message.created","data":[]}', "data: "),
        (b'{"type":"message.created","data":{}}', "text or at least one attachment"),
        (b'{"type":"message.created","data":{"text":"  "}}', "text or at least one attachment"),
        (b'{"type":"message.created","data":{"text":7}}', "data.text: "),
        (b'{"type":"message.created","timestamp":"noon","data":{"text":"hi"}}', "timestamp: "),
        (b'{"type":"message.created","timestamp":"2026-01-01T00:00:00","data":{"text":"hi"}}', "timezone"),
        (b'{"type":"message.created","data":{"text":"hi","conversation":"a b"}}', "data.conversation: "),
        (
            b'{"type":"message.created","data":{"text":"hi","conversation":"' + b"x" * 129 + b'"}}',
            "conversation",
        ),
        (b'{"type":"message.created","data":{"text":"hi","user":{}}}', "data.user.id: "),
        (b'{"type":"message.created","data":{"text":"hi","user":{"id":""}}}', "data.user.id: "),
        (
            b'{"type":"message.created","data":{"attachments":[{"url":"file:///etc/passwd"}]}}',
            "attachments.0.url",
        ),
    ],
)
def test_a_signed_body_that_is_no_message_is_refused_with_its_reason(body: bytes, says: str) -> None:
    problem = refusal(of_body(body))
    assert problem.status == 400
    assert says in problem.message


def test_nothing_of_a_body_is_read_before_its_signature_fits() -> None:
    headers = {"webhook-signature": "v1,AAAA"}
    assert refusal(of_body(b"not json", headers=headers)).status == 401


def test_the_same_text_in_other_bytes_is_another_body() -> None:
    one, other = event("hi"), json.dumps(json.loads(event("hi")), indent=1).encode()
    assert read(of_body(one)).digest != read(of_body(other)).digest
