"""The platform's side of callbacks, signed and encrypted by the package `wechatpy`, and how it waits and repeats."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from defusedxml import ElementTree as ET
from wechatpy.crypto import WeChatCrypto
from wechatpy.utils import WeChatSigner

from clawd.bridge import HttpRequest

if TYPE_CHECKING:
    from clawd.ids import Clock

TOKEN = "clawdtoken"
AES_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
APP_ID = "wx0123456789abcdef"
ACCOUNT = "gh_clawd"
USER = "oUser1"
WAITS_S = 5.0  # for an answer
TRIES = 4

_numbers = itertools.count(1)


def signature(*words: str) -> str:
    """Return what wechatpy signs these words with."""
    signer = WeChatSigner()
    signer.add_data(*words)
    text: str = signer.signature
    return text


def xml(*, user: str = USER, created: int = 1_767_268_800, kind: str = "text", **fields: str | int) -> str:
    """Return a message; a `MsgId` is made unless one is given or it is an event."""
    if kind != "event":
        fields.setdefault("MsgId", 23_456_789_000_000_000 + next(_numbers))
    inner = "".join(
        f"<{name}>{value}</{name}>" if isinstance(value, int) else f"<{name}><![CDATA[{value}]]></{name}>"
        for name, value in fields.items()
    )
    return (
        f"<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName><FromUserName><![CDATA[{user}]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime><MsgType><![CDATA[{kind}]]></MsgType>{inner}</xml>"
    )


def text(content: str, **fields: str | int) -> str:
    """Return a text message."""
    number = {"MsgId": fields.pop("MsgId")} if "MsgId" in fields else {}
    return xml(Content=content, **number, **fields)  # type: ignore[arg-type]


def event(
    name: str, *, key: str = "", user: str = USER, created: int = 1_767_268_800, **fields: str | int
) -> str:
    """Return an event."""
    return xml(user=user, created=created, kind="event", Event=name, EventKey=key, **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the platform got: nothing at all is a `body` of None."""

    status: int = 0
    body: bytes | None = None

    @property
    def content(self) -> str | None:
        """The text of a passive reply, decrypted where it is encrypted; None for `success` and nothing."""
        if self.body is None or not self.body.startswith(b"<xml>"):
            return None
        return fields_of(self.body)["Content"]


def fields_of(body: bytes) -> dict[str, str]:
    """Return the fields of a passive reply, checked and decrypted by wechatpy where it is encrypted."""
    fields = {element.tag: element.text or "" for element in ET.fromstring(body.decode())}
    if "Encrypt" not in fields:
        return fields
    plain = WeChatCrypto(TOKEN, AES_KEY, APP_ID).decrypt_message(
        body.decode(), fields["MsgSignature"], fields["TimeStamp"], fields["Nonce"]
    )
    return fields_of(plain.encode() if isinstance(plain, str) else plain)


@dataclass(slots=True)
class WeChatSender:
    """Makes requests as the platform does, each with a fresh nonce."""

    clock: Clock
    safe: bool = False
    token: str = TOKEN
    app_id: str = APP_ID
    nonces: itertools.count[int] = field(default_factory=lambda: itertools.count(1_000_000_000))

    def request(self, message: str, *, off_s: float = 0) -> HttpRequest:
        """Return the request of a message; `off_s` is how far its time is off."""
        timestamp, nonce = str(int(self.clock.now().timestamp() + off_s)), str(next(self.nonces))
        query = {
            "signature": signature(self.token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "openid": USER,
        }
        body = message.encode()
        if self.safe:
            crypto = WeChatCrypto(self.token, AES_KEY, self.app_id)
            encrypted = (
                ET.fromstring(crypto.encrypt_message(message, nonce, timestamp)).findtext("Encrypt") or ""
            )
            query |= {
                "encrypt_type": "aes",
                "msg_signature": signature(self.token, timestamp, nonce, encrypted),
            }
            body = f"<xml><ToUserName>{ACCOUNT}</ToUserName><Encrypt>{encrypted}</Encrypt></xml>".encode()
        return http_request(query, body)

    def verification(self, echo: str = "5741853260345870961") -> HttpRequest:
        """Return the request that asks whether the address is ours."""
        timestamp, nonce = str(int(self.clock.now().timestamp())), str(next(self.nonces))
        query = {"signature": signature(self.token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
        return http_request(query | {"echostr": echo}, b"", method="GET")

    async def post(self, session: aiohttp.ClientSession, url: str, message: str) -> Reply:
        """Post once; nothing when nobody answers within five seconds."""
        request = self.request(message)
        try:
            async with (
                asyncio.timeout(WAITS_S),
                session.post(url, params=dict(request.query), data=request.body) as response,
            ):
                return Reply(status=response.status, body=await response.read())
        except (aiohttp.ClientError, TimeoutError):
            return Reply()

    async def deliver(self, session: aiohttp.ClientSession, url: str, message: str) -> list[Reply]:
        """Post until there is an answer, four times at most; return what each try got."""
        replies: list[Reply] = []
        while len(replies) < TRIES and (not replies or replies[-1].status != 200):
            replies.append(await self.post(session, url, message))
        return replies


def http_request(query: dict[str, str], body: bytes, *, method: str = "POST") -> HttpRequest:
    """Return the request as the gateway hands it to a bridge."""
    return HttpRequest(
        method=method, headers={}, repeated=frozenset(), query=query, body=body, remote="127.0.0.1"
    )
