"""The wire client against a real llama.cpp with the bundled model: one server for the module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.errors import ContextTooLong, ModelAuthError, ModelUnavailable
from clawd.messages import Image, Text
from clawd.models import chat, completion
from clawd.models.base import Completed, ModelRequest, OutputSchema, TextDelta, UserMessage, collect
from clawd.models.chat_config import ChatConfig
from clawd.models.completion_config import CompletionConfig
from clawd.models.local_config import bundled_model, missing_parts
from tests.unit.models.conftest import ask, make_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.models.base import ManagedProvider, ModelEvent, ModelResponse

pytestmark = pytest.mark.skipif(bool(missing_parts(None)), reason=f"install: {missing_parts(None)}")

KEY = Secret("test-0123456789abcdef", "test")
SCHEMA = OutputSchema(
    name="answer",
    schema={
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    },
)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    settings = {"path": str(bundled_model()), "context": 512, "threads": 1, "api_key": KEY.reveal()}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "clawd.models.local_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(settings).encode() + b"\n")
        child.stdin.flush()
        yield f"http://127.0.0.1:{json.loads(child.stdout.readline())['port']}/v1"
        child.kill()


def _provider(kind: str, base_url: str, **settings: Any) -> ManagedProvider:
    common: dict[str, Any] = {"api_key": KEY, "max_tokens": 6, "temperature": 0.0, **settings}
    if kind == "chat":
        return chat.PLUGIN.create(
            make_context(), ChatConfig(name="it", type="chat", base_url=base_url, **common)
        )
    config = CompletionConfig(
        name="it", type="completion", base_url=base_url, **{"template": "chatml", **common}
    )
    return completion.PLUGIN.create(make_context(), config)


async def _answer(
    kind: str, base_url: str, request: ModelRequest, **settings: Any
) -> tuple[ModelResponse, list[ModelEvent]]:
    provider = _provider(kind, base_url, **settings)
    events: list[ModelEvent] = []
    try:
        return await collect(provider, request, events.append), events
    finally:
        await provider.close()


@pytest.mark.parametrize("kind", ["chat", "completion"])
async def test_an_answer_streams_with_its_usage_and_its_end(kind: str, base_url: str) -> None:
    response, events = await _answer(kind, base_url, ask("Count to a hundred."))
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(deltas) > 1
    assert response.text == "".join(deltas)
    assert response.finish == "length"
    usage = response.usage
    assert (usage.output_tokens, usage.thinking_tokens) == (6, None)
    assert usage.input_tokens is not None
    assert usage.input_tokens > 5
    assert usage.cached_tokens is not None


@pytest.mark.parametrize("kind", ["chat", "completion"])
async def test_without_a_usage_chunk_the_servers_own_timings_count(kind: str, base_url: str) -> None:
    response, _ = await _answer(kind, base_url, ask("Count."), omit=["stream_options"])
    assert response.usage.output_tokens == 6
    assert response.usage.input_tokens


async def test_a_schema_forms_the_answer_of_a_chat(base_url: str) -> None:
    request = ask("Is water wet?", schema=SCHEMA)
    response, _ = await _answer("chat", base_url, request, max_tokens=40)
    assert isinstance(json.loads(response.text)["ok"], bool)


async def test_a_key_of_llama_cpps_own_forms_the_answer_of_a_completion(base_url: str) -> None:
    body = {"json_schema": SCHEMA.schema}
    response, _ = await _answer("completion", base_url, ask("Is water wet?"), max_tokens=40, extra_body=body)
    assert isinstance(json.loads(response.text)["ok"], bool)


@pytest.mark.parametrize("kind", ["chat", "completion"])
async def test_a_request_beyond_the_context_is_told_apart(kind: str, base_url: str) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await _answer(kind, base_url, ask("word " * 1000))
    assert "512 tokens" in caught.value.why


@pytest.mark.parametrize("kind", ["chat", "completion"])
async def test_a_wrong_key_is_told_apart(kind: str, base_url: str) -> None:
    with pytest.raises(ModelAuthError):
        await _answer(kind, base_url, ask(), api_key=Secret("test-wrong-0123456789", "test"))


async def test_a_picture_that_it_can_not_see_is_no_passing_failure(base_url: str) -> None:
    picture = Image(ref="data:image/png;base64,iVBORw0KGgo=")
    request = ModelRequest(messages=(UserMessage((Text("What is this?"), picture)),))
    with pytest.raises(ModelUnavailable) as caught:
        await _answer("chat", base_url, request)
    assert not caught.value.transient
    assert "vision: false" in caught.value.remedy
    assert (await _answer("chat", base_url, request, vision=False))[0].text


async def test_leaving_early_stops_the_server(base_url: str) -> None:
    provider = _provider("chat", base_url, max_tokens=400)
    async with aclosing(provider.stream(ask("Tell me a long story."))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    # It has one slot: the next request would wait for 400 tokens.
    seen = [event async for event in provider.stream(ask("Hi.", max_tokens=1))]
    await provider.close()
    assert isinstance(seen[-1], Completed)
