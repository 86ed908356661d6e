"""Telegram: messages in by long polling, replies out as formatted text, streamed by edits."""

from __future__ import annotations

from bridges.telegram.config import TelegramConfig
from clawd.bridge import Bridge, BridgeContext, BridgePlugin


def _create(context: BridgeContext, config: TelegramConfig) -> Bridge:
    from bridges.telegram.bridge import TelegramBridge  # aiogram: only where a Telegram bridge runs

    return TelegramBridge(context, config)


PLUGIN = BridgePlugin(type="telegram", config=TelegramConfig, create=_create)

__all__ = ["PLUGIN", "TelegramConfig"]
