"""Telegram, by the strict fake of its Bot API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridges.telegram import TelegramConfig
from bridges.telegram.bridge import TelegramBridge
from clawd.messages import Address, text_of
from tests.fakes.bot_api import TOKEN, FakeBotApi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import Bridge, BridgeContext, Inbox
    from clawd.conformance import Feature, MediaKind
    from clawd.messages import Part


_SENT_AS: dict[MediaKind, str] = {"image": "photo", "audio": "voice", "file": "document"}
_KINDS: Final[dict[str, MediaKind]] = {
    "photo": "image",
    "voice": "audio",
    "audio": "audio",
    "document": "file",
}


class TelegramPlatform:
    """One bot."""

    features: Sequence[Feature] = (
        "redelivery",
        "connection",
        "credentials",
        "limit",
        "gone",
        "reset",
        "refused",
        "garbage",
        "files_in",
        "files_out",
    )
    secrets = (TOKEN, TOKEN.partition(":")[2])

    def __init__(self, api: FakeBotApi) -> None:
        self._api = api
        self._stopped = False

    def bridge(self, context: BridgeContext) -> Bridge:
        section = {"type": "telegram", "token": TOKEN, "api_base": self._api.url}
        self._name = context.name
        return TelegramBridge(context, TelegramConfig.model_validate(section))

    def attach(self, bridge: Bridge, inbox: Inbox) -> None:
        """The bridge polls by itself."""

    def detach(self) -> None:
        """What comes waits for the next poll."""

    def address(self, chat: str) -> Address:
        return Address(bridge=self._name, account=TOKEN.partition(":")[0], chat=chat)

    async def say(self, text: str, *, chat: str = "1") -> None:
        self._api.user_says(int(chat), text)

    async def say_again(self) -> None:
        raise NotImplementedError  # not one of the features: a confirmed update is gone

    async def send_file(self, kind: MediaKind, content: bytes, *, name: str, chat: str = "1") -> None:
        fields = {"file_name": name} if kind == "file" else {}
        self._api.files.user_sends(int(chat), _SENT_AS[kind], content, **fields)

    async def send_garbage(self) -> None:
        self._api.push_update({"message": {"message_id": "not a number", "chat": []}})

    async def shown(self, chat: str, count: int) -> Sequence[str]:
        return [message.text for message in await self._api.wait_for_messages(int(chat), count, 20)]

    async def files(self, chat: str, count: int) -> Sequence[tuple[MediaKind, bytes]]:
        sent = await self._api.wait_for_messages(int(chat), count, 20)
        return [(_KINDS[message.kind], message.file) for message in sent if message.kind]

    async def fail(self, feature: Feature, *, chat: str = "1", wait_s: int = 7) -> None:
        match feature:
            case "connection":
                self._api.fault("*", "502", count=10_000)
            case "credentials":
                self._api.revoke()
            case "limit":
                self._api.fault("sendMessage", "429", chat=int(chat), retry_after=wait_s, count=10_000)
            case "gone":
                self._api.block(int(chat))
            case "reset":
                self._api.fault("sendMessage", "reset", when="after", chat=int(chat))
            case _:
                await self._api.stop()
                self._stopped = True

    async def mend(self) -> None:
        self._api.clear_faults()
        self._api.revoke(False)
        if self._stopped:
            await self._api.start()
            self._stopped = False

    def text_of(self, parts: Sequence[Part]) -> str:
        return text_of(tuple(parts))
