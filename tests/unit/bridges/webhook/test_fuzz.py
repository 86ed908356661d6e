"""Thousands of requests with something wrong in each, over all presets: no error of ours, and nothing let in."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from clawd.messages import InboundMessage
from tests.fakes import hook_senders as senders
from tests.fakes.webhook_sender import request, signed
from tests.seeds import dice
from tests.unit.bridges.webhook.test_handling import SECRETS, Endpoint, said

if TYPE_CHECKING:
    from clawd.bridge import HttpRequest

PRESETS = tuple(SECRETS)
_SIGNED_BODY = frozenset({"standard", "github", "slack", "feishu"})
_PROOFS = {
    "standard": ("webhook-id", "webhook-timestamp", "webhook-signature"),
    "github": ("x-hub-signature-256",),
    "slack": ("x-slack-request-timestamp", "x-slack-signature"),
    "feishu": ("x-lark-request-timestamp", "x-lark-request-nonce", "x-lark-signature"),
    "dingtalk": ("timestamp", "sign"),
    "bearer": ("authorization",),
    "header": ("x-key",),
}
_CHANCES = "0aZ9é\x00\udcff ,.=+/-_~\\\"'{}[]你😀\x7f"


def good(here: Endpoint) -> HttpRequest:
    body = json.dumps(said(here.preset, "let in"), ensure_ascii=False).encode()
    if here.preset == "standard":
        return request(body, signed(body, here.clock.now()))
    return here.signed(body)


def break_text(rng: random.Random, text: str) -> str:
    """Return another text: a character changed, added or left out, cut, doubled, or something else altogether."""
    at = rng.randrange(len(text) + 1)
    changed = rng.choice(
        [
            text[:at] + rng.choice(_CHANCES) + text[at + 1 :],
            text[:at] + rng.choice(_CHANCES) + text[at:],
            text[:at] + text[at + 1 :],
            text[:at],
            text + text,
            text.swapcase(),
            rng.choice(["", " ", "0", "-1", "1e9", "9" * 400, "null", "v1,", "v0=", "sha256=", "Bearer "]),
            "".join(rng.choice(_CHANCES) for _ in range(rng.randrange(80))),
        ]
    )
    return changed if changed.split() != text.split() else changed + "x"


def break_body(rng: random.Random, body: bytes) -> bytes:
    """Return other bytes."""
    at = rng.randrange(len(body))
    changed = rng.choice(
        [
            body[:at] + bytes([body[at] ^ (1 << rng.randrange(8))]) + body[at + 1 :],
            body[:at],
            body + rng.randbytes(rng.randrange(1, 20)),
            body[:at] + rng.randbytes(3) + body[at:],
            b" " + body,
            b"\xef\xbb\xbf" + body,
            body.replace(b":", b": ", 1),
            b"[" * rng.randrange(1, 3000),
            json.dumps({"encrypt": rng.choice(["", "AAAA", "A" * 64, 7, None, []])}).encode(),
            b"payload=" + body,
            rng.randbytes(rng.randrange(200)),
        ]
    )
    return changed if changed != body else changed + b"\x00"


def broken(rng: random.Random, here: Endpoint, given: HttpRequest) -> HttpRequest:
    """Return the request with something wrong that its proof speaks of."""
    headers, body, repeated = dict(given.headers), given.body, set()
    name = rng.choice(_PROOFS[here.preset])
    kinds = ["change", "drop", "repeat", "old"]
    if here.preset in _SIGNED_BODY:
        kinds += ["body"] * 3
    match rng.choice(kinds):
        case "change":
            headers[name] = break_text(rng, headers[name])
        case "drop":
            del headers[name]
        case "repeat":
            repeated.add(name)
        case "old" if here.preset in ("standard", "slack", "feishu", "dingtalk"):
            # As if it were sent by a clock that is off: all is signed well, and too old or new.
            here.clock = type(here.clock)()
            off = timedelta(days=rng.choice([-400, -2, 2, 400]))
            body, headers = _signed_at(here, off)
        case _:
            if here.preset in _SIGNED_BODY:
                body = break_body(rng, body)
            else:
                headers[name] = break_text(rng, headers[name])
    if rng.random() < 0.2:
        other = rng.choice(sorted(headers) or ["x"])
        if other not in _PROOFS[here.preset]:
            headers[other] = break_text(rng, headers.get(other, ""))
    return replace(given, headers=headers, body=body, repeated=frozenset(repeated))


def _signed_at(here: Endpoint, off: timedelta) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(said(here.preset)).encode()
    now = here.clock.now() + off
    match here.preset:
        case "standard":
            return body, signed(body, now)
        case "slack":
            return body, senders.slack(body, now)
        case "feishu":
            return senders.feishu(body, now)
        case _:
            return body, senders.dingtalk(now)


def strange(rng: random.Random, here: Endpoint) -> HttpRequest:
    """Return a request that is signed well and says something strange."""
    whole = said(here.preset)
    text = json.dumps(whole)
    for _ in range(rng.randrange(1, 4)):
        text = break_text(rng, text) if rng.random() < 0.5 else _break_value(rng, text)
    body = text.encode("utf-8", "surrogatepass")
    if here.preset == "standard":
        body = text.encode("utf-8", "replace")  # the package signs nothing else
        return request(body, signed(body, here.clock.now()))
    return here.signed(body)


def _break_value(rng: random.Random, text: str) -> str:
    try:
        whole = json.loads(text)
    except ValueError:
        return text
    here = whole
    while isinstance(here, dict) and here:
        key = rng.choice(sorted(here))
        if not isinstance(here[key], dict) or rng.random() < 0.3:
            here[key] = rng.choice(
                [None, True, 0, -1, 1e300, "", "x" * 500, [], {}, [[1]], {"a": {}}, "\x00"]
            )
            break
        here = here[key]
    return json.dumps(whole)


async def attack(rng: random.Random, count: int) -> tuple[int, int]:
    """Send broken and strange requests; return how many of the good ones between them were let in."""
    let_in = tried = 0
    for number in range(count):
        preset = PRESETS[number % len(PRESETS)]
        here = Endpoint(preset)
        if number % 20 < len(PRESETS):  # the attack would prove nothing if nothing at all were let in
            tried += 1
            answer = await here.bridge.handle(good(here), here.inbox)
            let_in += answer.status in (200, 202) and bool(here.inbox.messages)
            here = Endpoint(preset)
        given = broken(rng, here, good(here))
        answer = await here.bridge.handle(given, here.inbox)
        assert answer.status in (400, 401, 415), (number, given, answer)
        assert here.inbox.batches == [], (number, given)
        given = strange(rng, here)
        answer = await here.bridge.handle(given, here.inbox)
        assert answer.status in (200, 202, 400, 401), (number, given, answer)
        json.loads(answer.body)
        for event in here.inbox.accepted:
            if isinstance(event, InboundMessage):
                assert event.text.strip()
                assert event.sender.id
                assert len(str(event.id)) < 2000
                assert event.sent_at.tzinfo is not None
    return let_in, tried


async def test_nothing_broken_is_let_in_and_nothing_strange_breaks_a_bridge() -> None:
    let_in, tried = await attack(dice(20260101), 500)
    assert let_in == tried > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
async def test_nothing_of_ten_thousand_broken_requests_is_let_in(seed: int) -> None:
    let_in, tried = await attack(dice(seed), 1000)
    assert let_in == tried
