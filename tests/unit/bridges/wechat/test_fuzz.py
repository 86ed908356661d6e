"""Thousands of callbacks, most of them broken: no error gets out, and nothing comes in that an honest check refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import WeChatException

from bridges.wechat.bridge import WeChatBridge
from clawd.conformance import MemoryInbox
from clawd.messages import InboundControl, InboundMessage, Unreadable
from clawd.testing import ManualClock
from tests.fakes.bridge_context import bridge_context
from tests.fakes.wechat_sender import AES_KEY, APP_ID, TOKEN, WeChatSender, event, signature, text, xml
from tests.fakes.wechat_world import wechat_config
from tests.seeds import dice

if TYPE_CHECKING:
    from clawd.bridge import HttpRequest

STATUSES = {200, 400, 403}


def honest(request: HttpRequest, now: float, *, safe: bool) -> bool:
    """Whether an independent check lets a request in: signature and time, in safe mode cipher and receiver."""
    query = request.query
    timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > 300:
        return False
    if query.get("signature") != signature(TOKEN, timestamp, nonce):
        return False
    if not safe:
        return True
    try:
        WeChatCrypto(TOKEN, AES_KEY, APP_ID).decrypt_message(
            request.body, query.get("msg_signature", ""), timestamp, nonce
        )
    except (WeChatException, ValueError, TypeError, KeyError, AttributeError, Exception):  # noqa: BLE001 - theirs
        return False
    return True


class Mutations:
    """Makes a request worse in ways that a chance decides."""

    def __init__(self, seed: int, sender: WeChatSender) -> None:
        self.chance = dice(seed)
        self.sender = sender

    def message(self) -> str:
        chance = self.chance
        content = "".join(chance.choices("aé你👩‍👧\u202e]]>&<\t 1/", k=chance.randrange(30)))
        safe_content = content.replace("]]>", "")
        return chance.choice(
            (
                lambda: text(safe_content),
                lambda: text(safe_content, MsgId=chance.choice((0, -1, 2**63, 2**200))),
                lambda: xml(kind=chance.choice(("image", "voice", "video", "location", "new"))),
                lambda: xml(kind="voice", MediaId=safe_content, Recognition=safe_content),
                lambda: event(chance.choice(("subscribe", "CLICK", "SCAN", "x")), key=safe_content),
                lambda: f"<xml><MsgType>{'a' * chance.randrange(300)}</MsgType></xml>",
                lambda: "<xml>" + "<a>" * chance.randrange(500) + "</a>" * chance.randrange(500) + "</xml>",
            )
        )()

    def request(self) -> HttpRequest:
        off_s = self.chance.choice((0, 0, 0, 0, 299, -299, 301, -301, 10**9))
        request = self.sender.request(self.message(), off_s=off_s)
        for _ in range(self.chance.choice((0, 0, 1, 1, 2))):
            request = self.chance.choice((self.body, self.query, self.both))(request)
        return request

    def body(self, request: HttpRequest) -> HttpRequest:
        raw, chance = bytearray(request.body), self.chance
        for _ in range(chance.choice((1, 1, 3, 30))):
            at = chance.randrange(len(raw) + 1)
            match chance.randrange(5):
                case 0 if raw:
                    raw[min(at, len(raw) - 1)] ^= 1 << chance.randrange(8)
                case 1:
                    raw[at : at + chance.randrange(40)] = b""
                case 2:
                    raw[at:at] = chance.randbytes(chance.randrange(9))
                case 3:
                    raw[at:at] = chance.choice((b"&a;", b"<!DOCTYPE x>", b"]]>", b"\x00", b"<a", b"\xff\xfe"))
                case _:
                    del raw[at:]
        return replace(request, body=bytes(raw))

    def query(self, request: HttpRequest) -> HttpRequest:
        query, chance = dict(request.query), self.chance
        name = chance.choice(list(query) or ["nonce"])
        value = query.get(name, "")
        match chance.randrange(5):
            case 0:
                query.pop(name, None)
            case 1:
                query[name] = value[:-1] + chance.choice("0aZ٣")
            case 2:
                query[name] = value * chance.choice((0, 2, 100))
            case 3:
                query[name] = chance.choice(("", "\ud800", "-1", "1e9", "NaN", "x" * 5000, "٣٣٣", "0" * 40))
            case _:
                query["encrypt_type"] = chance.choice(("aes", "raw", ""))
        return replace(request, query=query)

    def both(self, request: HttpRequest) -> HttpRequest:
        """A stranger who knows our protocol and not our keys."""
        sender = WeChatSender(self.sender.clock, safe=self.sender.safe, token="anothertoken")
        if self.chance.random() < 0.3:
            sender = WeChatSender(self.sender.clock, safe=self.sender.safe, app_id="wxother")
        return sender.request(self.message())


async def run(count: int, *, safe: bool, seed: int) -> tuple[int, int]:
    """Send so many; return how many were let in, and how many events were kept."""
    clock = ManualClock()
    section = {"aes_key": AES_KEY} if safe else {}
    bridge = WeChatBridge(bridge_context("wechat", clock=clock), wechat_config(reply_wait_s=0, **section))
    mutations = Mutations(seed, WeChatSender(clock, safe=safe))
    let_in = kept = 0
    for number in range(count):
        inbox, request = MemoryInbox(), mutations.request()
        reply = await bridge.handle(request, inbox)
        where = f"seed {seed}, request {number}: {request}"
        assert reply.status in STATUSES, where
        assert reply.status == 200 or reply.body == b"", where
        assert all(
            isinstance(found, InboundMessage | InboundControl | Unreadable) for found in inbox.accepted
        ), where
        if reply.status == 200:
            let_in += 1
            assert honest(request, clock.now().timestamp(), safe=safe), where
        else:
            assert inbox.accepted == [], where
        kept += len(inbox.messages)
    return let_in, kept


@pytest.mark.parametrize("safe", [False, True])
async def test_five_hundred_callbacks_break_nothing_and_force_nothing(safe: bool) -> None:
    let_in, kept = await run(250, safe=safe, seed=1)
    assert 20 < kept < let_in < 230


@pytest.mark.slow
@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.timeout(300)
async def test_ten_thousand_callbacks_break_nothing_and_force_nothing(safe: bool) -> None:
    let_in, kept = await run(5000, safe=safe, seed=2)
    assert 400 < kept < let_in < 4600
