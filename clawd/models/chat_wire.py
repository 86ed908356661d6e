"""The OpenAI chat completions format. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.models.chat_config import ChatConfig
from clawd.models.chat_fold import ChatFold
from clawd.models.chat_request import request_body
from clawd.models.wire import bearer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.base import Secret
    from clawd.models.base import ModelRequest
    from clawd.response import JsonObject


class ChatFormat:
    """See `WireFormat` for what its methods promise."""

    path = ChatConfig.path
    accepts = "chat completion"

    def headers(self, key: Secret | None) -> Mapping[str, str]:
        return bearer(key)

    def body(self, config: ChatConfig, request: ModelRequest) -> JsonObject:
        return request_body(config, request)

    def fold(self, config: ChatConfig) -> ChatFold:
        return ChatFold(config.name, config.think_tags)
