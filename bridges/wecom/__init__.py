"""WeCom (企业微信): an AI bot over its long connection, by Bot ID and secret; answers grow as they are made."""

from __future__ import annotations

from bridges.wecom.config import WecomConfig
from clawd.bridge import Bridge, BridgeContext, BridgePlugin


def _create(context: BridgeContext, config: WecomConfig) -> Bridge:
    from bridges.wecom.bridge import WecomBridge  # aiohttp: only where a bridge runs

    return WecomBridge(context, config)


PLUGIN = BridgePlugin(type="wecom", config=WecomConfig, create=_create)

__all__ = ["PLUGIN", "WecomConfig"]
