"""Personal WeChat through Tencent's iLink bot API: a contact of one's own, reached by long polling."""

from __future__ import annotations

from bridges.weixin.config import WeixinConfig
from clawd.bridge import Bridge, BridgeContext, BridgePlugin


def _create(context: BridgeContext, config: WeixinConfig) -> Bridge:
    from bridges.weixin.bridge import WeixinBridge  # aiohttp: only where such a bridge runs

    return WeixinBridge(context, config)


PLUGIN = BridgePlugin(type="weixin", config=WeixinConfig, create=_create)

__all__ = ["PLUGIN", "WeixinConfig"]
