"""Personal WeChat, by the strict fake of the iLink API and its CDN."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from bridges.weixin import WeixinConfig
from bridges.weixin.bridge import WeixinBridge
from clawd.messages import Address, text_of
from tests.fakes.ilink_api import FakeIlink
from tests.fakes.ilink_calls import Sent
from tests.fakes.weixin import write_login

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import Bridge, BridgeContext, Inbox
    from clawd.conformance import Feature, MediaKind
    from clawd.messages import Part

_KEY: Final = "000102030405060708090a0b0c0d0e0f"


class WeixinPlatform:
    """One account that somebody has logged in to."""

    features: Sequence[Feature] = (
        "redelivery",
        "repeats",
        "connection",
        "credentials",
        "limit",
        "reset",
        "garbage",
        "files_in",
        "files_out",
    )

    def __init__(self, ilink: FakeIlink) -> None:
        self._ilink = ilink
        self._token = ilink.token
        self._last: dict[str, Any] = {}
        self.secrets = (ilink.token,)

    def bridge(self, context: BridgeContext) -> Bridge:
        with ThreadPoolExecutor(1) as pool:  # no file is written in the loop that is watched
            pool.submit(write_login, context.state_dir, self._ilink, token=self._token).result()
        self._name = context.name
        return WeixinBridge(context, WeixinConfig.model_validate({"type": "weixin", **self._ilink.section}))

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        """The bridge polls by itself."""

    def detach(self) -> None:
        """What comes waits for the next poll."""

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account=self._ilink.bot_id, chat=_user(chat))

    async def say(self, text: str, *, chat: str = "1") -> None:
        self._last = self._ilink.user_says(text, user=_user(chat))

    async def say_again(self) -> None:
        self._ilink.push(self._last)

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        kept = await asyncio.to_thread(self._ilink.keep_file, content, _KEY)
        media = {**kept, "aes_key": "AAECAwQFBgcICQoLDA0ODw=="}
        items: dict[MediaKind, dict[str, Any]] = {
            "image": {"type": 2, "image_item": {"media": media}},
            "audio": {"type": 3, "voice_item": {"media": media, "playtime": 900}},
            "file": {"type": 4, "file_item": {"media": media, "file_name": name, "len": str(len(content))}},
        }
        self._ilink.user_sends(items[kind], user=_user(chat))

    async def send_garbage(self) -> None:
        self._ilink.push({"message_type": 1, "from_user_id": ["nobody"], "item_list": 7})

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        await self._ilink.wait_until(lambda: len(self._ilink.texts(chat)) >= count, 20)
        return self._ilink.texts(chat)

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        def found() -> list[tuple[MediaKind, bytes]]:
            return [(_kind(s), s.file) for s in self._ilink.sent if s.user == chat and s.file is not None]

        await self._ilink.wait_until(lambda: len(found()) >= count, 20)
        return found()

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        match feature:
            case "connection":
                self._ilink.fault("*", 502, 1000)
            case "credentials":
                self._ilink.revoke()
            case "limit":
                self._ilink.retry_after_s = wait_s
                self._ilink.fault("sendmessage", 429, 1000)
            case _:
                self._ilink.fault("sendmessage", "reset-after")

    async def mend(self) -> None:
        self._ilink.clear_faults()
        self._ilink.stale.clear()

    def text_of(self, parts: Sequence[Part]) -> str:
        return text_of(tuple(parts))


def _user(chat: str) -> str:
    return chat if "@" in chat else f"u{chat}@im.wechat"


def _kind(sent: Sent) -> MediaKind:
    """The kind as it was meant: bots may not send voice, so a sound is shown as a file."""
    if sent.item["type"] == 2:
        return "image"
    name = sent.item["file_item"]["file_name"]
    return "audio" if name.endswith(".ogg") else "file"
