"""Replies to DingTalk: where the last message said that it can be answered, else by a custom robot.

Source: open.dingtalk.com, "Robots reply by session webhook", "Custom robot access", "Security settings".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bridges.webhook.presets.dingtalk import place_key, signature_of
from clawd.errors import DeliveryError, DeliveryParked, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.messages import BridgeCapabilities, Receipt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bridges.webhook.replies.base import JsonClient, Said
    from clawd.ids import Clock
    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject

_OFTEN: Final = "130101"
_BLOCKED_S: Final = 600.0  # how long a robot is shut out after 20 messages in a minute
_BUSY: Final = "-1"
_OVER: Final = frozenset({"300005", "300001", "88", "40035"})  # tokens and sessions that are no more
_TITLE_CHARS: Final = 30


class DingTalkReplies:
    """A robot; DingTalk knows no repeats, so they are marked.

    Args:
        bridge: The name of the bridge.
        client: Makes the calls.
        clock: Tells which reply addresses are over, and when a robot signs.
        cursor: Returns what was committed with the last message of a conversation.
        may_answer_at: Whether a reply may go to this URL.
        robot: A custom robot's URL, for conversations that can't be answered otherwise; None for none.
        keys: Of the custom robot; the first signs.
    """

    capabilities = BridgeCapabilities(text_limit=15_000, text_unit="utf8")  # some 20 KB of JSON
    connects = False

    def __init__(
        self,
        bridge: str,
        client: JsonClient,
        clock: Clock,
        *,
        cursor: Callable[[str], Awaitable[str | None]],
        may_answer_at: Callable[[str], bool],
        robot: str | None,
        keys: Sequence[bytes],
    ) -> None:
        self._bridge = bridge
        self._client = client
        self._clock = clock
        self._cursor = cursor
        self._may_answer_at = may_answer_at
        self._robot = robot
        self._keys = keys

    async def send(self, message: OutboundMessage) -> Receipt:
        """Send one message; raises DeliveryParked where only the next message of the chat opens a way."""
        content = _content(message.text)
        if url := await self._place(message.address.chat):
            said = await self._client.post(url, content)
            code = said.fields.may("/errcode")
            if code == "0":
                return Receipt(remote_id=said.fields.may("/messageId") or None)
            if code not in _OVER:
                raise error_of(self._bridge, said)
        if self._robot is None:
            raise DeliveryParked(
                self._bridge, "DingTalk lets a chat be answered for a while only", why="its time is over"
            )
        said = await self._client.post(self._signed(self._robot), content)
        if said.fields.may("/errcode") != "0":
            raise error_of(self._bridge, said)
        return Receipt()

    async def check(self) -> str:
        """Say where replies go; DingTalk gives no address that could be tried without a message."""
        robot = ", else to the custom robot" if self._robot else ""
        return f"replies go to where each chat can be answered{robot}"

    async def _place(self, chat: str) -> str | None:
        """Return where a chat can be answered now."""
        kept = await self._cursor(place_key(self._bridge, chat))
        if kept is None:
            return None
        url, until_ms = json.loads(kept)
        if not self._may_answer_at(url) or self._clock.now().timestamp() * 1000 >= until_ms:
            return None
        return str(url)

    def _signed(self, url: str) -> str:
        if not self._keys:
            return url
        timestamp = str(int(self._clock.now().timestamp() * 1000))
        sign = quote(signature_of(self._keys[0], timestamp), safe="")
        return f"{url}{'&' if '?' in url else '?'}timestamp={timestamp}&sign={sign}"


def _content(text: str) -> JsonObject:
    title = " ".join(text[:_TITLE_CHARS].replace("#", "").split()) or "…"
    return {"msgtype": "markdown", "markdown": {"title": title, "text": text}}


def error_of(bridge: str, said: Said) -> DeliveryError:
    """Return what an answer with another `errcode` than 0 means."""
    code = said.fields.may("/errcode") or f"HTTP {said.status}"
    why = f"{code}: {said.fields.may('/errmsg')}"
    if code == _OFTEN or said.status == 429:
        wait_s = said.retry_after_s or _BLOCKED_S
        return DeliveryRetryLater(bridge, "DingTalk wants fewer messages", why=why, retry_after_s=wait_s)
    if code == _BUSY:
        return DeliveryUnknown(bridge, "DingTalk failed", why=why)
    return DeliveryRejected(bridge, "DingTalk refused the message", why=why)
