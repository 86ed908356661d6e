"""The OpenAI text completions format. Pure.

Source: OpenAI API reference, "Create completion"; vLLM and llama.cpp speak it under the same path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.models.chat_fold import ChatFold
from clawd.models.chat_request import response_format
from clawd.models.completion_config import CompletionConfig
from clawd.models.completion_template import FORMS, render
from clawd.models.wire import bearer
from clawd.models.wire_schema import told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.base import Secret
    from clawd.models.base import ModelRequest
    from clawd.response import JsonObject


_MOST_STOPS: Final = 4  # that OpenAI takes


class CompletionFormat:
    """See `WireFormat` for what its methods promise."""

    path = CompletionConfig.path
    accepts = "completion"

    def headers(self, key: Secret | None) -> Mapping[str, str]:
        return bearer(key)

    def body(self, config: CompletionConfig, request: ModelRequest) -> JsonObject:
        return request_body(config, request)

    def fold(self, config: CompletionConfig) -> ChatFold:
        # It reads chat chunks too: an `endpoint` may lead to either.
        return ChatFold(config.name, config.think_tags, trim=config.template != "none")


def request_body(config: CompletionConfig, request: ModelRequest) -> JsonObject:
    """Return the body of one streaming request."""
    messages = request.messages
    if request.schema is not None and config.json_output != "schema":
        messages = told(messages, request.schema)
    body: JsonObject = {
        "model": config.model_id,
        "prompt": render(messages, config.template),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if stop := (*FORMS[config.template].stop, *request.stop):
        body["stop"] = list(stop[:_MOST_STOPS])
    if max_tokens := request.max_tokens or config.max_tokens:
        body["max_tokens"] = max_tokens
    temperature = config.temperature if request.temperature is None else request.temperature
    if temperature is not None:
        body["temperature"] = temperature
    if request.schema is not None and (form := response_format(config.json_output, request.schema)):
        body["response_format"] = form
    return body
