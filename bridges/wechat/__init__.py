"""WeChat Official Accounts: signed callbacks in, passive replies and customer-service messages out."""

from __future__ import annotations

from bridges.wechat.config import WeChatConfig
from clawd.bridge import Bridge, BridgeContext, BridgePlugin


def _create(context: BridgeContext, config: WeChatConfig) -> Bridge:
    from bridges.wechat.bridge import WeChatBridge  # aiohttp, XML and ciphers: only where a bridge runs

    return WeChatBridge(context, config)


PLUGIN = BridgePlugin(type="wechat", config=WeChatConfig, create=_create, called=True)

__all__ = ["PLUGIN", "WeChatConfig"]
