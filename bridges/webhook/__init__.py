"""Signed webhooks: Standard Webhooks v1 in, and signed callbacks out."""

from __future__ import annotations

from bridges.webhook.config import WebhookConfig
from clawd.bridge import Bridge, BridgeContext, BridgePlugin


def _create(context: BridgeContext, config: WebhookConfig) -> Bridge:
    from bridges.webhook.bridge import WebhookBridge  # aiohttp: only where a bridge runs

    return WebhookBridge(context, config)


PLUGIN = BridgePlugin(type="webhook", config=WebhookConfig, create=_create, called=True)

__all__ = ["PLUGIN", "WebhookConfig"]
