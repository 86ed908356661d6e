"""WeCom, by the strict fake of its long connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridges.wecom import WecomConfig
from bridges.wecom.bridge import WecomBridge
from clawd.messages import Address, text_of
from tests.fakes.wecom_api import BOT_ID, SECRET, FakeWecom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import Bridge, BridgeContext, Inbox
    from clawd.conformance import Feature, MediaKind
    from clawd.messages import Part

_SENDS = ("aibot_respond_msg", "aibot_send_msg")
_KINDS: dict[str, MediaKind] = {".png": "image", ".ogg": "audio", ".txt": "file"}


class WecomPlatform:
    """One bot. Not among the features: a sound comes as text, so that not every kind of file comes in."""

    features: Sequence[Feature] = (
        "repeats",
        "connection",
        "limit",
        "gone",
        "reset",
        "refused",
        "garbage",
        "files_out",
    )
    secrets = (SECRET,)

    def __init__(self, wecom: FakeWecom) -> None:
        self._wecom = wecom
        self._last: dict[str, object] = {}
        self._stopped = False

    def bridge(self, context: BridgeContext) -> Bridge:
        section = {"type": "wecom", "bot_id": BOT_ID, "secret": SECRET, "ws_url": self._wecom.url}
        self._name = context.name
        return WecomBridge(context, WecomConfig.model_validate(section))

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        """The bridge connects by itself."""

    def detach(self) -> None:
        """What comes now is lost, unless the connection is still open."""

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account=BOT_ID, chat=chat)

    async def say(self, text: str, *, chat: str = "1") -> None:
        await self._wecom.wait_until(lambda: self._wecom.connected, 20)
        self._last = self._wecom.body_of(chat, {"msgtype": "text", "text": {"content": text}})
        self._wecom.callback("aibot_msg_callback", self._last)

    async def say_again(self) -> None:
        self._wecom.callback("aibot_msg_callback", self._last)

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        raise NotImplementedError  # not one of the features

    async def send_garbage(self) -> None:
        self._wecom.push('{"cmd": "aibot_msg_callback", "headers": {"req_id": "r"}, "body": {"from": [')
        self._wecom.user_sends("1", {"msgtype": "hologram"})

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        await self._wecom.wait_until(lambda: len(self._wecom.finished(chat)) >= count, 20)
        return self._wecom.finished(chat)

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        def here() -> list[tuple[MediaKind, bytes]]:
            shown = [m for m in self._wecom.messages(chat) if m.media is not None]
            # A sound goes out as a file; its name tells what it is.
            return [(_KINDS[m.name[-4:]], m.media) for m in shown if m.media is not None]

        await self._wecom.wait_until(lambda: len(here()) >= count, 20)
        return here()

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        match feature:
            case "connection":
                self._wecom.handshake_status = 502
            case "limit" | "gone":
                code = 45009 if feature == "limit" else 93006
                for cmd in _SENDS:
                    self._wecom.fault(cmd, "errcode", errcode=code, count=10_000)
            case "reset":
                for cmd in _SENDS:
                    self._wecom.fault(cmd, "cut_after")
            case _:
                await self._wecom.stop()
                self._stopped = True

    async def mend(self) -> None:
        self._wecom.handshake_status = 0
        self._wecom.clear_faults()
        if self._stopped:
            await self._wecom.start()
            self._stopped = False

    def text_of(self, parts: Sequence[Part]) -> str:
        return text_of(tuple(parts))
