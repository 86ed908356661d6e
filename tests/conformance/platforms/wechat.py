"""An Official Account that may use the API, encrypted, whose callbacks wait for no answer."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from bridges.wechat.bridge import WeChatBridge
from clawd.bridge import HttpBridge
from clawd.errors import InboxFull, JournalUnavailable
from clawd.ids import SystemClock
from clawd.messages import Address, text_of
from tests.fakes.wechat_api import APP_SECRET, Fault, WeChatApiFake
from tests.fakes.wechat_sender import AES_KEY, APP_ID, TOKEN, WeChatSender, xml
from tests.fakes.wechat_world import wechat_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import Bridge, BridgeContext, Inbox
    from clawd.conformance import Feature, MediaKind
    from clawd.messages import Part

_SEND = "message/custom/send"


class WeChatPlatform:
    """One account; a chat's follower has its number as OpenID."""

    features: Sequence[Feature] = (
        "redelivery",
        "repeats",
        "connection",
        "credentials",
        "limit",
        "gone",
        "reset",
        "refused",
        "garbage",
        "files_in",
    )
    secrets = (APP_SECRET, TOKEN, AES_KEY, "TOKEN-")

    def __init__(self, api: WeChatApiFake) -> None:
        self._api = api
        self._url = api.url
        self._sender = WeChatSender(SystemClock(), safe=True)
        self._target: tuple[HttpBridge, Inbox] | None = None
        self._waiting: list[str] = []
        self._last = ""
        self._numbers = itertools.count(1)

    def bridge(self, context: BridgeContext) -> Bridge:
        self._name = context.name
        section = {"app_secret": APP_SECRET, "aes_key": AES_KEY, "api_base": self._url, "reply_wait_s": 0}
        return WeChatBridge(context, wechat_config(**section))

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        assert isinstance(bridge, HttpBridge)
        self._target = (bridge, inbox)

    def detach(self) -> None:
        self._target = None

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account=APP_ID, chat=chat)

    async def say(self, text: str, *, chat: str = "1") -> None:
        self._api.wrote(chat)
        await self._post(xml(user=chat, Content=text))

    async def say_again(self) -> None:
        self._waiting.append(self._last)
        await self._deliver()

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        media_id = f"IN-{next(self._numbers)}"
        theirs = {"image": "image", "audio": "voice", "file": "video"}[kind]
        self._api.media[media_id] = (theirs, content)
        await self._post(xml(user=chat, kind=theirs, MediaId=media_id))

    async def send_garbage(self) -> None:
        await self._post("<xml><MsgType>text</MsgType></xml>")

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        def here() -> list[str]:
            return [call.text for call in self._api.sent if call.json["touser"] == chat]

        await self._api.wait_until(lambda: len(here()) >= count, 20)
        return here()

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        raise NotImplementedError  # not one of the features: WeChat takes some formats alone

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        match feature:
            case "connection":
                self._api.down = True
            case "credentials":
                self._api.secret = "another"
                self._api.drop_tokens()
            case "limit":
                self._api.fault(Fault(path=_SEND, code=-1))
            case "gone":
                self._api.fault(Fault(path=_SEND, code=40003))
            case "reset":
                self._api.fault(Fault(path=_SEND, kind="reset"))
            case _:
                await self._api.__aexit__(None, None, None)

    async def mend(self) -> None:
        self._api.down = False
        self._api.secret = APP_SECRET

    def text_of(self, parts: Sequence[Part]) -> str:
        return text_of(tuple(parts))

    async def _post(self, message: str) -> None:
        self._last = message
        self._waiting.append(message)
        await self._deliver()

    async def _deliver(self) -> None:
        """Deliver what waits, in order; what is answered 503 is tried again, as what comes later does."""
        while self._target is not None and self._waiting:
            bridge, inbox = self._target
            try:
                await bridge.handle(self._sender.request(self._waiting[0]), inbox)
            except (InboxFull, JournalUnavailable):
                await asyncio.sleep(0.01)
                continue
            self._waiting.pop(0)
