"""What every model provider promises, whatever is behind it: one suite over all of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from clawd.config.base import Secret
from clawd.config.schema import Config
from clawd.errors import ModelError
from clawd.models import anthropic, chat, completion, demo, local, responses
from clawd.models.anthropic_config import AnthropicConfig
from clawd.models.base import (
    AssistantMessage,
    Completed,
    DescribedProvider,
    KeyedProvider,
    ManagedProvider,
    ModelEvent,
    ModelRequest,
    Progress,
    Switched,
    SystemMessage,
    TextDelta,
    ToolCall,
    ToolMessage,
    collect,
)
from clawd.models.chat_config import ChatConfig
from clawd.models.completion_config import CompletionConfig
from clawd.models.demo import DemoConfig
from clawd.models.local_config import LocalConfig, missing_parts
from clawd.models.registry import build_models
from clawd.models.responses_config import ResponsesConfig
from clawd.testing import ManualClock, ScriptedModel
from clawd.tools.calculator import PLUGIN as CALCULATOR
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.fakes.responses_api import FakeResponses
from tests.fakes.routing import router_over
from tests.unit.models.conftest import ask, make_context
from tests.unit.tools.context import SITE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from clawd.models.base import ModelProvider

KEY = "sk-test-0123456789abcdef"
SPEC = CALCULATOR.create(SITE, CALCULATOR.config()).spec


@dataclass(frozen=True)
class Subject:
    """A provider under test; `managed` is None for those that only wrap others."""

    provider: ModelProvider
    managed: ManagedProvider | None


async def _chat(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeOpenAI())
    config = ChatConfig(name="it", type="chat", base_url=api.base_url)
    return _managed(stack, chat.PLUGIN.create(make_context(), config))


async def _chat_without_streaming(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeOpenAI(default=Reply(as_json=True)))
    config = ChatConfig(name="it", type="chat", base_url=api.base_url)
    return _managed(stack, chat.PLUGIN.create(make_context(), config))


async def _completion(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeOpenAI())
    config = CompletionConfig(name="it", type="completion", base_url=api.base_url)
    return _managed(stack, completion.PLUGIN.create(make_context(), config))


async def _completion_answered_as_chat(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeOpenAI(default=Reply(form="chat")))
    config = CompletionConfig(name="it", type="completion", endpoint=f"{api.base_url}/chat")
    return _managed(stack, completion.PLUGIN.create(make_context(), config))


async def _chat_answered_as_completion(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeOpenAI(default=Reply(form="completion")))
    config = ChatConfig(name="it", type="chat", endpoint=f"{api.base_url}/completions")
    return _managed(stack, chat.PLUGIN.create(make_context(), config))


async def _anthropic(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeAnthropic())
    config = AnthropicConfig(name="it", type="anthropic", base_url=api.base_url)
    return _managed(stack, anthropic.PLUGIN.create(make_context(), config))


async def _responses(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeResponses())
    config = ResponsesConfig(name="it", type="responses", base_url=api.base_url)
    return _managed(stack, responses.PLUGIN.create(make_context(), config))


async def _demo(stack: AsyncExitStack) -> Subject:
    return _managed(stack, demo.PLUGIN.create(make_context(), DemoConfig(name="it")))


async def _local(stack: AsyncExitStack) -> Subject:
    config = LocalConfig(name="it", max_tokens=24)
    return _managed(stack, local.PLUGIN.create(make_context(), config))


async def _scripted(stack: AsyncExitStack) -> Subject:
    return _managed(stack, ScriptedModel(name="it"))


async def _fallback(stack: AsyncExitStack) -> Subject:
    api = await stack.enter_async_context(FakeOpenAI())
    dead = await stack.enter_async_context(FakeOpenAI(default=Reply(status=500)))
    providers = []
    for name, base_url in (("dead", dead.base_url), ("it", api.base_url)):
        provider = chat.PLUGIN.create(make_context(), ChatConfig(name=name, type="chat", base_url=base_url))
        stack.push_async_callback(provider.close)
        providers.append(provider)
    return Subject(router_over(*providers, clock=ManualClock()), None)


async def _router(stack: AsyncExitStack) -> Subject:
    models = await build_models(
        Config(models=(DemoConfig(name="it"),)), {"demo": demo.PLUGIN}, make_context()
    )
    stack.push_async_callback(models.close)
    return Subject(models.router, None)


def _managed(stack: AsyncExitStack, provider: ManagedProvider) -> Subject:
    stack.push_async_callback(provider.close)
    return Subject(provider, provider)


_MAKERS = [
    _chat,
    _chat_without_streaming,
    _chat_answered_as_completion,
    _completion,
    _completion_answered_as_chat,
    _anthropic,
    _responses,
    _demo,
    _scripted,
    _fallback,
    _router,
]
if not missing_parts(None):
    _MAKERS.append(_local)


@pytest.fixture(params=_MAKERS, ids=lambda make: make.__name__.strip("_"))
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:
        yield await request.param(stack)


async def _events(provider: ModelProvider, request: ModelRequest) -> list[ModelEvent]:
    async with aclosing(provider.stream(request)) as stream:
        return [event async for event in stream]


async def test_a_stream_ends_with_its_only_completed(subject: Subject) -> None:
    events = await _events(subject.provider, ask("Say hello."))
    assert isinstance(events[-1], Completed)
    assert not any(isinstance(event, Completed) for event in events[:-1])
    assert all(isinstance(event, TextDelta | Progress | Switched | Completed) for event in events)


async def test_the_visible_text_is_the_responses_text(subject: Subject) -> None:
    shown = ""
    events = await _events(subject.provider, ask("Say hello."))
    for event in events:
        match event:
            case TextDelta(text=text):
                assert text
                shown += text
            case Switched():
                shown = ""
            case Completed(response=response):
                assert response.text == shown
                assert response.text.strip()
                assert response.model == "it"
                assert response.finish in ("stop", "length")
            case Progress():
                pass


async def test_every_call_of_the_response_can_be_worked_with(subject: Subject) -> None:
    response = await collect(subject.provider, ask("what is 2+2", tools=(SPEC,)))
    ids = [call.id for call in response.tool_calls]
    assert len(ids) == len(set(ids))
    assert all(call.id and call.name for call in response.tool_calls)
    assert (response.finish == "tool_calls") == bool(response.tool_calls)


async def test_a_conversation_with_earlier_calls_is_understood(subject: Subject) -> None:
    call = ToolCall(id="1", name="calculator", arguments=json.dumps({"expression": "2+2"}))
    request = ModelRequest(
        messages=(
            SystemMessage("Be brief."),
            *ask("what is 2+2").messages,
            AssistantMessage(text="", tool_calls=(call,)),
            ToolMessage(call_id="1", name="calculator", text="4"),
            AssistantMessage(text="4"),
            *ask("and what is a cat?").messages,
        )
    )
    assert (await collect(subject.provider, request)).text.strip()


async def test_leaving_early_leaves_it_usable(subject: Subject) -> None:
    async with aclosing(subject.provider.stream(ask("Say hello."))) as stream:
        await anext(stream)
    assert (await collect(subject.provider, ask("Say hello."))).text


async def test_cancelling_passes_through_and_leaves_it_usable(subject: Subject) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(collect(subject.provider, ask("Say hello.")))
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert (await collect(subject.provider, ask("Say hello."))).text


async def test_requests_at_the_same_time_do_not_mix(subject: Subject) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(collect(subject.provider, ask(f"Say hello {n}."))) for n in range(3)]
    for number, task in enumerate(tasks):
        text = task.result().text
        if "said" in text:  # those that echo
            assert f"hello {number}" in text


async def test_the_request_is_left_as_it_was(subject: Subject) -> None:
    request = ask("Say hello.", tools=(SPEC,))
    before = repr(request)
    await collect(subject.provider, request)
    assert repr(request) == before


async def test_it_says_what_it_is_and_a_probe_is_one_line(subject: Subject) -> None:
    if subject.managed is None:
        return
    assert isinstance(subject.managed, DescribedProvider)
    assert subject.managed.model
    assert subject.managed.place
    line = await subject.managed.probe()
    assert line
    assert "\n" not in line


async def test_closing_twice_and_closing_unused_are_fine(subject: Subject) -> None:
    if subject.managed is None:
        return
    await subject.managed.close()
    await subject.managed.close()


# Those that ask a server over HTTP: the type's plugin, and its section for a base URL.
WIRES: dict[str, Callable[[str], ManagedProvider]] = {
    "chat": lambda url: chat.PLUGIN.create(
        make_context(), ChatConfig(name="it", type="chat", base_url=url, api_key=Secret(KEY))
    ),
    "completion": lambda url: completion.PLUGIN.create(
        make_context(), CompletionConfig(name="it", type="completion", base_url=url, api_key=Secret(KEY))
    ),
}


@pytest.mark.parametrize("kind", WIRES)
@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 529])
async def test_a_failure_is_always_one_of_our_errors(kind: str, status: int) -> None:
    async with FakeOpenAI(default=Reply(status=status)) as api:
        provider = WIRES[kind](api.base_url)
        with pytest.raises(ModelError) as caught:
            await collect(provider, ask())
        await provider.close()
    assert caught.value.model == "it"
    assert KEY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("kind", WIRES)
async def test_models_behind_a_server_share_their_limits_by_key(kind: str) -> None:
    one, same, other = (WIRES[kind](url) for url in ("http://h/v1", "http://h/v2", "http://i/v1"))
    ids = [provider.key_id for provider in (one, same, other) if isinstance(provider, KeyedProvider)]
    assert ids[0] == ids[1] != ids[2]
    assert KEY not in ids[0]
