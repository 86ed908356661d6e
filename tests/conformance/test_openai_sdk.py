"""OpenAI's own SDK as a judge: of what our fake model server says, and of the requests that we make."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from clawd.messages import Image, Text
from clawd.models.base import (
    AssistantMessage,
    ModelRequest,
    OutputSchema,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from clawd.models.chat_config import ChatConfig
from clawd.models.chat_request import request_body as chat_body
from clawd.models.completion_config import CompletionConfig
from clawd.models.completion_wire import request_body as completion_body
from clawd.tools.base import ToolSpec
from tests.fakes.openai_api import FakeOpenAI, Reply

if TYPE_CHECKING:
    from types import ModuleType

CALLS = [
    {"id": "a", "name": "calculator", "arguments": '{"expression": "2+2"}'},
    {"id": "b", "name": "time", "arguments": '{"zone": "Asia/Tokyo"}'},
]
MESSAGES: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def openai() -> ModuleType:
    """Import the SDK here: it takes a second, and blocks the loop meanwhile."""
    return importlib.import_module("openai")


def _client(openai: ModuleType, api: FakeOpenAI) -> Any:
    return openai.AsyncOpenAI(base_url=api.base_url, api_key="sk-test", max_retries=0)


async def _chunks(openai: ModuleType, reply: Reply, **more: Any) -> list[Any]:
    async with FakeOpenAI(reply) as api, _client(openai, api) as client:
        options = {"include_usage": True}
        stream = await client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, stream_options=options, **more
        )
        return [chunk async for chunk in stream]


def _strict(value: Any) -> None:
    """Check that every field has the type that the SDK says; when it reads an answer it does not look."""
    type(value).model_validate(value.model_dump(), strict=False)


async def test_streamed_text_and_usage_are_read(openai: ModuleType) -> None:
    chunks = await _chunks(openai, Reply(chunks=["Hel", "lo"]))
    for chunk in chunks:
        _strict(chunk)
    said = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert said == ["Hel", "lo"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 3


async def test_streamed_calls_are_put_together(openai: ModuleType) -> None:
    async with (
        FakeOpenAI(Reply(tool_calls=CALLS, tool_fragment=3)) as api,
        _client(openai, api) as client,
        client.chat.completions.stream(model="m", messages=MESSAGES) as stream,
    ):
        done = await stream.get_final_completion()
    calls = done.choices[0].message.tool_calls
    assert [{"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in calls] == CALLS
    assert done.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("reply", [Reply(text="Hello"), Reply(tool_calls=CALLS)], ids=["text", "calls"])
async def test_an_answer_that_does_not_stream_is_read(openai: ModuleType, reply: Reply) -> None:
    async with FakeOpenAI(reply) as api, _client(openai, api) as client:
        done = await client.chat.completions.create(model="m", messages=MESSAGES)
    _strict(done)
    assert done.choices[0].message.content == reply.text
    assert len(done.choices[0].message.tool_calls or ()) == len(reply.tool_calls)
    assert done.usage.completion_tokens == 7


@pytest.mark.parametrize("stream", [True, False])
async def test_text_completions_are_read(openai: ModuleType, stream: bool) -> None:
    async with FakeOpenAI(Reply(chunks=["Hel", "lo"])) as api, _client(openai, api) as client:
        done = await client.completions.create(model="m", prompt="hi", stream=stream)
        parts = [part async for part in done] if stream else [done]
    _strict(
        parts[-1]
    )  # of the others the SDK's types say that they have a finish reason; real ones have none
    assert "".join(part.choices[0].text for part in parts) == "Hello"
    assert parts[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "BadRequestError"), (401, "AuthenticationError"), (404, "NotFoundError"),
     (429, "RateLimitError"), (500, "InternalServerError")],
)  # fmt: skip
async def test_errors_are_of_the_kind_that_their_status_says(
    openai: ModuleType, status: int, kind: str
) -> None:
    reply = Reply(status=status, error={"message": "m", "type": "t", "param": None, "code": "c"})
    with pytest.raises(getattr(openai, kind)) as caught:
        await _chunks(openai, reply)
    error: Any = caught.value
    assert (error.status_code, error.code, error.type) == (status, "c", "t")


async def test_an_error_within_a_stream_is_an_error(openai: ModuleType) -> None:
    with pytest.raises(openai.APIError, match="overloaded"):
        await _chunks(openai, Reply(text="half", error={"message": "overloaded", "code": 502}))


async def test_a_stream_that_breaks_off_is_an_error(openai: ModuleType) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of whichever HTTP library the SDK uses
        await _chunks(openai, Reply(text="half of it", reset_after=2))
    assert not isinstance(caught.value, AssertionError | asyncio.TimeoutError)


async def test_the_models_are_listed(openai: ModuleType) -> None:
    async with FakeOpenAI(models=("a", "b")) as api, _client(openai, api) as client:
        assert [model.id async for model in client.models.list()] == ["a", "b"]


# --- our requests


def _taken(openai: ModuleType, params: str, body: Any) -> None:
    """Check a body against the SDK's types, unknown keys included."""
    kind: Any = openai.types
    for name in params.split("."):
        kind = getattr(kind, name)
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    taken = adapter.validate_python(body)
    assert set(taken) == set(body)


def test_a_chat_request_is_one_that_openai_takes(openai: ModuleType) -> None:
    call = ToolCall(id="1", name="time", arguments="{}")
    request = ModelRequest(
        messages=(
            SystemMessage("Be brief."),
            UserMessage((Text("what is"), Image(ref="https://h/a.png"))),
            AssistantMessage(text="", tool_calls=(call,)),
            ToolMessage(call_id="1", name="time", text="noon"),
            AssistantMessage(text="noon"),
            UserMessage((Text("and now?"),)),
        ),
        tools=(ToolSpec(name="time", description="d", parameters={"type": "object"}, effect="pure"),),
        schema=OutputSchema(name="city", schema={"type": "object"}),
    )
    config = ChatConfig(
        name="m",
        type="chat",
        base_url="http://h/v1",
        max_tokens=5,
        max_tokens_field="max_completion_tokens",
        temperature=0.5,
        system_role="developer",
        parallel_tool_calls=False,
    )
    params = "chat.completion_create_params.CompletionCreateParamsStreaming"
    _taken(openai, params, chat_body(config, request))
    wrong = {**chat_body(config, request), "temperature": "hot"}
    with pytest.raises(ValidationError):
        _taken(openai, params, wrong)


def test_a_completion_request_is_one_that_openai_takes(openai: ModuleType) -> None:
    config = CompletionConfig(name="m", type="completion", base_url="http://h/v1", temperature=0.5)
    body = completion_body(config, ModelRequest(messages=(UserMessage((Text("hi"),)),)))
    _taken(openai, "completion_create_params.CompletionCreateParamsStreaming", body)
