"""Makes the two halves of a bridge out of its section: what reads requests, and what sends replies."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, assert_never

from bridges.webhook.places import dingtalk_place
from bridges.webhook.presets.github import GitHub
from bridges.webhook.presets.slack import Slack
from bridges.webhook.presets.standard import Standard
from bridges.webhook.presets.static import BEARER, Static
from bridges.webhook.replies.base import JsonClient, Kept, client_of
from bridges.webhook.replies.callback import SignedCallback
from bridges.webhook.replies.template import TemplateReplies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridges.webhook.config import WebhookConfig
    from bridges.webhook.presets.base import Preset
    from bridges.webhook.replies.base import Replies
    from clawd.bridge import BridgeContext


def new_id() -> str:
    """Return an id for a delivery that comes without one."""
    return secrets.token_hex(16)


def preset_of(name: str, config: WebhookConfig) -> Preset:
    """Return what reads the requests of a bridge."""
    keys, tolerance_s = config.inbound_keys, config.clock_tolerance_s
    match config.preset:
        case "standard":
            return Standard(name, keys, tolerance_s)
        case "github":
            return GitHub(name, keys)
        case "slack":
            return Slack(name, keys, tolerance_s)
        case "feishu":
            from bridges.webhook.presets.feishu import Feishu  # needs an optional dependency

            token = config.verification_token
            return Feishu(name, keys, tolerance_s, token.reveal() if token else None)
        case "dingtalk":
            from bridges.webhook.presets.dingtalk import DingTalk

            return DingTalk(name, keys, tolerance_s, may_answer_at=dingtalk_place(config.api_base))
        case "bearer":
            return Static(name, keys, BEARER, new_id)
        case "header":
            return Static(name, keys, (config.header or "").lower(), new_id)
        case _:
            assert_never(config.preset)


def replies_of(
    context: BridgeContext, config: WebhookConfig, cursor: Callable[[str], Awaitable[str | None]]
) -> Replies:
    """Return what sends the replies of a bridge; `cursor` reads what was committed with a message."""
    network, url = config.network or context.network, config.callback_url
    if config.reply is not None:
        to = config.reply.sample_url or url or ""
        keys = config.outbound_keys if config.callback_secret is not None else ()
        client = client_of(context, network, to, allow_private=config.allow_private)
        return TemplateReplies(context, client, config.reply, url or "", keys)
    match config.preset:
        case "slack":
            return _slack(context, config)
        case "feishu":
            return _feishu(context, config)
        case "dingtalk":
            return _dingtalk(context, config, cursor)
        case _ if url is not None:
            client = client_of(context, network, url, allow_private=config.allow_private)
            return SignedCallback(context, client, url, config.outbound_keys)
        case _:
            return Kept()


def _slack(context: BridgeContext, config: WebhookConfig) -> Replies:
    from bridges.webhook.replies.slack import API_BASE, SlackApi, SlackHook

    network = config.network or context.network
    if config.reply_token is not None:
        base = config.api_base or API_BASE
        client = JsonClient(context, network, base, allow_private=config.allow_private)
        return SlackApi(context.name, client, base, config.reply_token.reveal())
    if config.callback_url is not None:
        plain = client_of(context, network, config.callback_url, allow_private=config.allow_private)
        return SlackHook(context.name, plain, config.callback_url)
    return Kept()


def _feishu(context: BridgeContext, config: WebhookConfig) -> Replies:
    from bridges.webhook.replies.feishu import API_BASE, FeishuApi, FeishuRobot

    network, url = config.network or context.network, config.callback_url
    if config.app_id is not None and config.app_secret is not None:
        base = config.api_base or API_BASE
        client = JsonClient(context, network, base, allow_private=config.allow_private)
        secret = config.app_secret.reveal()
        return FeishuApi(context.name, client, base, context.clock, app_id=config.app_id, app_secret=secret)
    if url is not None:
        client = JsonClient(context, network, url, allow_private=config.allow_private)
        return FeishuRobot(context.name, client, context.clock, url, config.callback_keys)
    return Kept()


def _dingtalk(
    context: BridgeContext, config: WebhookConfig, cursor: Callable[[str], Awaitable[str | None]]
) -> Replies:
    from bridges.webhook.replies.dingtalk import DingTalkReplies

    base = config.api_base or "https://oapi.dingtalk.com"
    client = JsonClient(context, config.network or context.network, base, allow_private=config.allow_private)
    return DingTalkReplies(
        context.name,
        client,
        context.clock,
        cursor=cursor,
        may_answer_at=dingtalk_place(config.api_base),
        robot=config.callback_url,
        keys=config.callback_keys,
    )
