"""Replies to Feishu and Lark: as an app, or by a custom bot's webhook.

Source: open.feishu.cn, "Send message" and "Reply message" (`uuid` drops repeats for an hour), "Generic error
codes", "Custom bot usage guide".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bridges.webhook.replies.access_token import AccessToken
from bridges.webhook.replies.base import not_ready
from clawd.errors import (
    BridgeAuthError,
    DeliveryError,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)
from clawd.messages import BridgeCapabilities, Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.webhook.replies.base import JsonClient, Said
    from clawd.ids import Clock
    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject

API_BASE: Final = "https://open.feishu.cn"

_TOKEN_OVER: Final = frozenset({"99991661", "99991663", "99991664", "99991668", "99991677"})
_OFTEN: Final = frozenset({"99991400", "230020", "11232", "9499"})
_WITHDRAWN: Final = frozenset({"230011", "230110", "230019"})
"""The message that is replied to is no more: the reply goes to the chat itself."""
_GONE: Final = frozenset({"230002", "230013", "230018", "230029"})
_CREDENTIALS: Final = frozenset({"10003", "10014", "10012"})
_HOOK_LATER: Final = frozenset({"19021"})  # the time of the signature is off


class FeishuApi:
    """An app; `uuid` makes a repeat harmless, so repeats are not marked."""

    capabilities = BridgeCapabilities(text_limit=30_000, text_unit="utf8", marks_repeats=False)
    connects = True

    def __init__(
        self, bridge: str, client: JsonClient, base: str, clock: Clock, *, app_id: str, app_secret: str
    ) -> None:
        self._bridge = bridge
        self._client = client
        self._base = base.rstrip("/")
        self._app_id = app_id
        self._app_secret = app_secret
        self._token = AccessToken(self._fetch_token, clock)

    async def send(self, message: OutboundMessage) -> Receipt:
        """Send one message, as a reply where a message is answered."""
        content: JsonObject = {
            "msg_type": "post",
            "content": json.dumps(
                {"zh_cn": {"content": [[{"tag": "md", "text": quiet(message.text)}]]}}, ensure_ascii=False
            ),
            "uuid": uuid_of(message),
        }
        if message.reference is not None:
            thread: JsonObject = {"reply_in_thread": True} if message.address.thread else {}
            path = f"/open-apis/im/v1/messages/{quote(message.reference, safe='')}/reply"
            said = await self._call(path, {**content, **thread})
            if said.fields.may("/code") not in _WITHDRAWN:
                return self._receipt(said)
        path = "/open-apis/im/v1/messages?receive_id_type=chat_id"
        return self._receipt(await self._call(path, {**content, "receive_id": message.address.chat}))

    async def check(self) -> str:
        """Return which app it is; raises BridgeAuthError, BridgeNotReady."""
        try:
            await self._token.get()
        except DeliveryUnauthorized as error:
            raise BridgeAuthError(
                self._bridge,
                error.what,
                why=error.why,
                remedy="set app_id and app_secret as in Feishu's console",
            ) from error
        except DeliveryError as error:
            raise not_ready(self._bridge, error) from error
        return f"Feishu knows the app {self._app_id}"

    async def _call(self, path: str, content: JsonObject) -> Said:
        """Return the answer, with a new token if it was over."""
        token = await self._good_token()
        said = await self._post(path, content, token)
        if said.fields.may("/code") in _TOKEN_OVER:
            said = await self._post(path, content, await self._good_token(bad=token))
        return said

    async def _good_token(self, *, bad: str | None = None) -> str:
        try:
            return await self._token.get(bad=bad)
        except DeliveryUnknown as error:  # of the token, not of the message
            raise DeliveryRetryLater(self._bridge, "Feishu gives out no token", why=error.why) from error

    async def _post(self, path: str, content: JsonObject, token: str) -> Said:
        headers = {"Authorization": f"Bearer {token}"}
        return await self._client.post(f"{self._base}{path}", content, headers)

    def _receipt(self, said: Said) -> Receipt:
        code = said.fields.may("/code")
        if code != "0":
            raise error_of(self._bridge, said)
        return Receipt(remote_id=said.fields.may("/data/message_id") or None)

    async def _fetch_token(self) -> tuple[str, float]:
        content: JsonObject = {"app_id": self._app_id, "app_secret": self._app_secret}
        path = "/open-apis/auth/v3/tenant_access_token/internal"
        said = await self._client.post(f"{self._base}{path}", content)
        token, life = said.fields.may("/tenant_access_token"), said.fields.may("/expire")
        if said.fields.may("/code") != "0" or not token:
            raise error_of(self._bridge, said)
        return token, float(life) if life.isdigit() else 0.0


class FeishuRobot:
    """A custom bot of one group; without `uuid`, so repeats are marked."""

    capabilities = BridgeCapabilities(text_limit=15_000, text_unit="utf8")  # 20 KB of JSON
    connects = False

    def __init__(
        self, bridge: str, client: JsonClient, clock: Clock, url: str, keys: Sequence[bytes]
    ) -> None:
        self._bridge = bridge
        self._client = client
        self._clock = clock
        self._url = url
        self._keys = keys

    async def send(self, message: OutboundMessage) -> Receipt:
        """Send one message to the bot's group."""
        content: JsonObject = {"msg_type": "text", "content": {"text": quiet(message.text)}}
        if self._keys:
            timestamp = str(int(self._clock.now().timestamp()))
            content |= {"timestamp": timestamp, "sign": robot_signature(self._keys[0], timestamp)}
        said = await self._client.post(self._url, content)
        if (said.fields.may("/code") or said.fields.may("/StatusCode")) != "0":
            raise error_of(self._bridge, said)
        return Receipt()

    async def check(self) -> str:
        """Say where replies go; a custom bot takes nothing but messages."""
        return "replies go to a custom bot, which can't be tried without a message"


def error_of(bridge: str, said: Said) -> DeliveryError:
    """Return what an answer with another code than 0 means."""
    code = said.fields.may("/code") or f"HTTP {said.status}"
    why = f"{code}: {said.fields.may('/msg')}"
    if code in _OFTEN or said.status == 429:
        return DeliveryRetryLater(
            bridge, "Feishu wants fewer messages", why=why, retry_after_s=said.retry_after_s
        )
    if code in _HOOK_LATER:
        return DeliveryRetryLater(bridge, "Feishu finds the signature wrong or too old", why=why)
    if code in _CREDENTIALS or code in _TOKEN_OVER:
        return DeliveryUnauthorized(bridge, "Feishu refuses the app's credentials", why=why)
    return DeliveryRejected(bridge, "Feishu refused the message", why=why, unreachable=code in _GONE)


def uuid_of(message: OutboundMessage) -> str:
    """Return the key by which Feishu knows a repeat: at most 50 characters, equal for all attempts."""
    return hashlib.sha256(message.id.encode()).hexdigest()[:40]


def robot_signature(key: bytes, timestamp: str) -> str:
    """Return the field `sign`: base64 of HMAC-SHA256 over nothing, under the time, a line end and the key."""
    return base64.b64encode(hmac.new(timestamp.encode() + b"\n" + key, b"", hashlib.sha256).digest()).decode()


def quiet(text: str) -> str:
    """Return the text without the marks that call everybody in a group: a model must not."""
    return text.replace("<at ", "<\u200bat ")
