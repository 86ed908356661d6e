"""The Telegram bridge in webhook mode: Telegram calls us, by way of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridges.telegram.bridge import TelegramBridge
from bridges.telegram.webhook import Webhook, secret_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridges.telegram.config import TelegramConfig
    from clawd.bridge import BridgeContext, HttpReply, HttpRequest, Inbox

_MAX_BODY_BYTES: Final = 1024 * 1024


class CalledTelegramBridge(TelegramBridge):
    """One bot; only in this mode is it something that the gateway mounts."""

    def __init__(self, context: BridgeContext, config: TelegramConfig) -> None:
        super().__init__(context, config)
        assert config.webhook_url is not None  # noqa: S101 - as the configuration says
        self.max_body_bytes = _MAX_BODY_BYTES
        self._webhook = Webhook(
            self.name,
            self._bot,
            context.clock,
            self._sign_in,
            self._intake,
            url=config.webhook_url,
            secret=secret_of(config),
            connections=config.webhook_connections,
        )

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        await self._webhook.run(inbox, ready)

    async def handle(self, request: HttpRequest, inbox: Inbox) -> HttpReply:
        """Answer a call of Telegram's once its update is stored."""
        return await self._webhook.handle(request, inbox)
