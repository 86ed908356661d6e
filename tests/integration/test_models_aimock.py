"""Our formats against a server that others wrote: what it streams is read, how it fails is named."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from clawd.errors import ModelRateLimited, ModelUnavailable
from clawd.models import anthropic, chat, responses
from clawd.models.anthropic_config import AnthropicConfig
from clawd.models.base import (
    AssistantMessage,
    Completed,
    ModelRequest,
    SystemMessage,
    TextDelta,
    ToolMessage,
    collect,
)
from clawd.models.chat_config import ChatConfig
from clawd.models.responses_config import ResponsesConfig
from clawd.tools.base import ToolSpec
from tests.fakes.aimock import aimock, missing_aimock, too_old_node
from tests.unit.models.conftest import ask, make_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from clawd.models.base import ManagedProvider

pytestmark = pytest.mark.skipif(bool(missing_aimock()), reason=missing_aimock())

WEATHER = ToolSpec(
    name="weather",
    description="Tells the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
    effect="pure",
)
CALLS = [{"name": "weather", "arguments": {"city": c}} for c in ("Köln", "北京")]
FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "weather", "hasToolResult": True}, "response": {"content": "Sunny in both."}},
    {"match": {"userMessage": "weather"}, "response": {"content": "I look.", "toolCalls": CALLS}},
    {"match": {"userMessage": "limited"}, "response": {"content": "x"}, "chaos": {"rateLimitRate": 1}},
    {"match": {"userMessage": "malformed"}, "response": {"content": "x"}, "chaos": {"malformedRate": 1}},
    {"match": {"userMessage": "gone"}, "response": {"content": "x"}, "chaos": {"disconnectRate": 1}},
    {
        "match": {"userMessage": "broken"},
        "response": {"content": "a long answer that breaks off"},
        "truncateAfterChunks": 3,
    },
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello! 你好 🎉, how can I help you?"}},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if why := too_old_node():
        pytest.skip(why)
    with aimock(FIXTURES, tmp_path_factory.mktemp("aimock")) as address:
        yield address


@pytest.fixture(params=["chat", "responses", "anthropic"])
async def model(request: pytest.FixtureRequest, server: str) -> AsyncIterator[ManagedProvider]:
    settings: dict[str, Any] = {
        "name": "it",
        "type": request.param,
        "base_url": f"{server}/v1",
        "model": "m-1",
    }
    context = make_context()
    match request.param:
        case "chat":
            provider = chat.PLUGIN.create(context, ChatConfig(**settings))
        case "responses":
            provider = responses.PLUGIN.create(context, ResponsesConfig(**settings))
        case _:
            provider = anthropic.PLUGIN.create(context, AnthropicConfig(**settings))
    yield provider
    await provider.close()


async def test_text_streams(model: ManagedProvider) -> None:
    async with aclosing(model.stream(ask("hello"))) as stream:
        events = [event async for event in stream]
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(pieces) > 3
    assert "".join(pieces) == "Hello! 你好 🎉, how can I help you?"
    assert isinstance(events[-1], Completed)
    assert events[-1].response.finish == "stop"


async def test_parallel_calls_and_their_results_make_a_turn(model: ManagedProvider) -> None:
    messages = (SystemMessage("Be brief."), *ask("weather, please").messages)
    first = await collect(model, ModelRequest(messages=messages, tools=(WEATHER,)))
    assert [json.loads(call.arguments) for call in first.tool_calls] == [{"city": "Köln"}, {"city": "北京"}]
    assert (first.text, first.finish) == ("I look.", "tool_calls")
    said = AssistantMessage(text=first.text, tool_calls=first.tool_calls, model="it")
    results = (ToolMessage(call_id=c.id, name=c.name, text="sunny") for c in first.tool_calls)
    second = await collect(model, ModelRequest(messages=(*messages, said, *results), tools=(WEATHER,)))
    assert second.text == "Sunny in both."


async def test_a_rate_limit_says_how_long(model: ManagedProvider) -> None:
    with pytest.raises(ModelRateLimited) as caught:
        await collect(model, ask("limited"))
    assert caught.value.retry_after_s is not None


@pytest.mark.parametrize("how", ["malformed", "gone", "broken"])
async def test_what_is_no_whole_answer_is_none(model: ManagedProvider, how: str) -> None:
    with pytest.raises(ModelUnavailable):
        await collect(model, ask(how))


async def test_a_question_it_knows_nothing_of_is_refused(model: ManagedProvider) -> None:
    with pytest.raises(ModelUnavailable, match="404"):
        await collect(model, ask("something else"))
