"""The suite of bridges, over every bridge of this project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.conformance import BridgeConformance
from tests.conformance.platforms.hooks import FeishuPlatform, SlackPlatform
from tests.conformance.platforms.telegram import TelegramPlatform
from tests.conformance.platforms.webhook import WebhookPlatform
from tests.conformance.platforms.wechat import WeChatPlatform
from tests.conformance.platforms.wecom import WecomPlatform
from tests.conformance.platforms.weixin import WeixinPlatform
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.chat_services import ChatServices
from tests.fakes.ilink_api import FakeIlink
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.wechat_api import WeChatApiFake
from tests.fakes.wecom_api import FakeWecom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestTelegram(BridgeConformance):
    features = TelegramPlatform.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[TelegramPlatform]:
        async with FakeBotApi() as api:
            yield TelegramPlatform(api)


class TestWebhook(BridgeConformance):
    features = WebhookPlatform.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[WebhookPlatform]:
        async with WebhookReceiver() as receiver:
            yield WebhookPlatform(receiver)


class TestWecom(BridgeConformance):
    features = WecomPlatform.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[WecomPlatform]:
        async with FakeWecom() as wecom:
            yield WecomPlatform(wecom)


class TestWeixin(BridgeConformance):
    features = WeixinPlatform.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[WeixinPlatform]:
        async with FakeIlink() as ilink:
            yield WeixinPlatform(ilink)


class TestWeChat(BridgeConformance):
    features = WeChatPlatform.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[WeChatPlatform]:
        async with WeChatApiFake() as api:
            yield WeChatPlatform(api)


class TestSlack(BridgeConformance):
    features = SlackPlatform.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[SlackPlatform]:
        async with ChatServices() as services:
            yield SlackPlatform(services)


class TestFeishu(BridgeConformance):
    features = FeishuPlatform.features

    @pytest.fixture
    async def platform(self) -> AsyncIterator[FeishuPlatform]:
        async with ChatServices() as services:
            yield FeishuPlatform(services)
