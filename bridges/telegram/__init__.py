"""Telegram: messages in by long polling or webhook, replies out as formatted text, streamed by edits."""

from __future__ import annotations

from bridges.telegram.config import TelegramConfig
from clawd.bridge import Bridge, BridgeContext, BridgePlugin


def _create(context: BridgeContext, config: TelegramConfig) -> Bridge:
    # aiogram: only where a Telegram bridge runs
    if config.mode == "webhook":
        from bridges.telegram.called import CalledTelegramBridge

        return CalledTelegramBridge(context, config)
    from bridges.telegram.bridge import TelegramBridge

    return TelegramBridge(context, config)


PLUGIN = BridgePlugin(
    type="telegram", config=TelegramConfig, create=_create, called=lambda config: config.mode == "webhook"
)

__all__ = ["PLUGIN", "TelegramConfig"]
