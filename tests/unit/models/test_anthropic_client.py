"""Anthropic's format over real sockets, against a server that refuses what the real one refuses."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.errors import ContextTooLong, ModelAuthError, ModelRateLimited, ModelUnavailable
from clawd.messages import Image, Text
from clawd.models import anthropic
from clawd.models.anthropic_config import AnthropicConfig
from clawd.models.base import (
    AssistantMessage,
    ModelRequest,
    OutputSchema,
    Progress,
    SystemMessage,
    TextDelta,
    ToolMessage,
    Usage,
    UserMessage,
    collect,
)
from clawd.response import Thinking, ToolCall
from clawd.tools.base import ToolSpec
from tests.fakes.anthropic_api import Answer, FakeAnthropic, redacted, said, thinking, tool_use
from tests.fakes.loop_clock import jump
from tests.unit.models.conftest import ask, make_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from clawd.models.base import ChatMessage, ManagedProvider, ModelEvent, ModelResponse

LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"}, effect="pure")
KEY = "sk-ant-0123456789abcdef"


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., ManagedProvider]]:
    async with AsyncExitStack() as stack:

        def create(api: FakeAnthropic, **settings: Any) -> ManagedProvider:
            config = AnthropicConfig(name="claude", type="anthropic", base_url=api.base_url, **settings)
            provider = anthropic.PLUGIN.create(make_context(), config)
            stack.push_async_callback(provider.close)
            return provider

        yield create


async def _ask(
    make: Callable[..., ManagedProvider], answer: Answer, **settings: Any
) -> tuple[ModelResponse, list[ModelEvent]]:
    events: list[ModelEvent] = []
    async with FakeAnthropic(answer) as api:
        return await collect(make(api, **settings), ask(), events.append), events


def _next(request: ModelRequest, response: ModelResponse, *more: ChatMessage) -> ModelRequest:
    """Return the request of the next step, as the agent builds it."""
    return ModelRequest(
        messages=(
            *request.messages,
            AssistantMessage(
                text=response.text,
                tool_calls=response.tool_calls,
                thinking=response.thinking,
                model=response.model,
            ),
            *(ToolMessage(call_id=c.id, name=c.name, text=f"saw {c.id}") for c in response.tool_calls),
            *more,
        ),
        tools=request.tools,
    )


# --- good answers


@pytest.mark.parametrize(
    "answer",
    [
        Answer(text="日本語 🎉"),
        Answer(text="日本語 🎉", split=7, fragment=1),
        Answer(text="日本語 🎉", newline="\r\n"),
        Answer(text="日本語 🎉", names=False),
        Answer(text="日本語 🎉", as_json=True),
        Answer(text="日本語 🎉", pings=5),
    ],
    ids=["plain", "split", "crlf", "no_names", "json", "pings"],
)
async def test_every_dialect_gives_the_same_answer(
    make: Callable[..., ManagedProvider], answer: Answer
) -> None:
    response, _ = await _ask(make, answer)
    assert (response.text, response.finish) == ("日本語 🎉", "stop")
    assert response.usage == Usage(
        input_tokens=328, output_tokens=7, cached_tokens=300, cache_write_tokens=20
    )


async def test_pings_are_keep_alives(make: Callable[..., ManagedProvider]) -> None:
    _, events = await _ask(make, Answer(text="x", pings=2))
    assert events[:3] == [Progress("keepalive"), Progress("keepalive"), TextDelta("x")]


async def test_a_whole_turn_with_thinking_and_parallel_calls_is_taken_by_a_strict_server(
    make: Callable[..., ManagedProvider],
) -> None:
    first = [
        thinking("Two places."),
        redacted("a"),
        said("I look twice."),
        tool_use("a", "look", at="ü"),
        thinking("And there."),
        tool_use("b", "look", at=2),
    ]
    second = [thinking("Once more."), tool_use("c", "look")]
    async with FakeAnthropic(Answer(blocks=first), Answer(blocks=second), Answer(text="Done.")) as api:
        provider = make(api, thinking_tokens=2048, beta=["interleaved-thinking-2025-05-14"])
        request = ModelRequest(
            messages=(SystemMessage("Be brief."), UserMessage((Text("go"),))), tools=(LOOK,)
        )
        for _ in range(2):
            response = await collect(provider, request)
            request = _next(request, response)
        response = await collect(provider, _next(request, response, UserMessage((Text("hurry"),))))
    assert response.text == "Done."
    sent = api.requests[1].body["messages"]
    assert [block["type"] for block in sent[1]["content"]] == [block["type"] for block in first]
    assert sent[1]["content"][0] == first[0]
    assert sent[1]["content"][3]["input"] == {"at": "ü"}
    assert [block["tool_use_id"] for block in sent[2]["content"]] == ["a", "b"]
    assert api.requests[0].headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"


async def test_a_conversation_that_another_model_began_is_taken_by_a_strict_server(
    make: Callable[..., ManagedProvider],
) -> None:
    call = ToolCall(id="functions.look:0", name="look.around", arguments="{broken")
    strange: tuple[ChatMessage, ...] = (
        AssistantMessage(text="Hello."),
        UserMessage((Text(""), Image(ref="AgAC"), Image(ref="data:image/png;base64,aGk="))),
        UserMessage((Text("look"),)),
        AssistantMessage(text=" ", tool_calls=(call,), thinking=(Thinking(text="hm"),), model="other"),
        ToolMessage(call_id=call.id, name=call.name, text=""),
        AssistantMessage(text="", tool_calls=(call, ToolCall(id="x", name="look", arguments=""))),
        ToolMessage(call_id="x", name="look", text="seen"),
        ToolMessage(call_id="gone", name="look", text="late"),
    )
    async with FakeAnthropic(Answer(text="ok")) as api:
        provider = make(api, thinking_tokens=2048)
        assert (await collect(provider, ModelRequest(messages=strange, temperature=0.5))).text == "ok"


async def test_thinking_that_was_bound_to_what_stood_before_is_left_out_when_that_has_changed(
    make: Callable[..., ManagedProvider],
) -> None:
    blocks = [thinking("Hm."), tool_use("a", "look")]
    async with FakeAnthropic(Answer(blocks=blocks), binds=True) as api:
        provider = make(api, thinking="adaptive")
        request = ask("go", tools=(LOOK,))
        step = _next(request, await collect(provider, request))
        assert (await collect(provider, step)).text == "you said: go"
        assert [seen.refused for seen in api.requests] == ["", ""]
        changed = ModelRequest(messages=(SystemMessage("New."), *step.messages), tools=step.tools)
        assert (await collect(provider, changed)).text == "you said: go"
    assert "bound to a different conversation" in api.requests[2].refused
    assert api.requests[3].body["messages"][1]["content"][0]["type"] == "tool_use"
    assert len(api.requests) == 4


async def test_what_else_the_api_refuses_is_not_asked_twice(make: Callable[..., ManagedProvider]) -> None:
    blocks = [thinking("Hm."), tool_use("a", "look")]
    refused = Answer(status=400, error={"message": "temperature is deprecated for this model"})
    async with FakeAnthropic(Answer(blocks=blocks), refused) as api:
        provider = make(api)
        request = ask("go", tools=(LOOK,))
        step = _next(request, await collect(provider, request))
        with pytest.raises(ModelUnavailable, match="deprecated"):
            await collect(provider, step)
    assert len(api.requests) == 2


@pytest.mark.parametrize("json_output", ["schema", "tool"])
async def test_an_answer_of_a_given_form_is_json(
    make: Callable[..., ManagedProvider], json_output: str
) -> None:
    form = OutputSchema(name="cat", schema={"type": "object", "properties": {"name": {"type": "string"}}})
    answer = (
        Answer(text='{"name": "Tom"}')
        if json_output == "schema"
        else Answer(blocks=[tool_use("a", "answer_in_form", name="Tom")])
    )
    async with FakeAnthropic(answer) as api:
        response = await collect(make(api, json_output=json_output), ask("cat?", schema=form))
    assert json.loads(response.text) == {"name": "Tom"}
    assert (response.tool_calls, response.finish) == ((), "stop")


# --- errors


async def test_a_refused_key_is_named_by_its_origin(make: Callable[..., ManagedProvider]) -> None:
    async with FakeAnthropic(key="right") as api:
        with pytest.raises(ModelAuthError) as caught:
            await collect(make(api, api_key=Secret(KEY, "environment ANTHROPIC_API_KEY")), ask())
    assert api.requests[0].headers["x-api-key"] == KEY
    assert "environment ANTHROPIC_API_KEY, ends in …cdef" in str(caught.value)
    assert KEY not in f"{caught.value!r} {caught.value}"


async def test_an_error_quotes_the_providers_words_and_the_requests_id(
    make: Callable[..., ManagedProvider],
) -> None:
    answer = Answer(status=400, error={"message": "max_tokens: too large"}, headers={"request-id": "req_7"})
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, answer)
    assert caught.value.why == "HTTP 400: max_tokens: too large (request req_7)"


async def test_a_rate_limit_tells_how_long_to_wait(make: Callable[..., ManagedProvider]) -> None:
    answer = Answer(status=429, error={"message": "slow down"}, headers={"retry-after": "9"})
    with pytest.raises(ModelRateLimited) as caught:
        await _ask(make, answer)
    assert caught.value.retry_after_s == 9


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=413, error={"message": "Request exceeds the maximum size"}),
        Answer(status=400, error={"message": "prompt is too long: 210000 tokens > 200000 maximum"}),
        Answer(
            status=400, error={"message": "input length and `max_tokens` exceed context limit: 9 + 1 > 9"}
        ),
        Answer(text="", stop="model_context_window_exceeded"),
    ],
    ids=["413", "prompt", "with_max_tokens", "stopped"],
)
async def test_a_conversation_that_is_too_long_is_told_apart(
    make: Callable[..., ManagedProvider], answer: Answer
) -> None:
    with pytest.raises(ContextTooLong):
        await _ask(make, answer)


@pytest.mark.parametrize("status", [500, 529])
async def test_a_server_that_fails_or_is_overloaded_may_be_asked_again(
    make: Callable[..., ManagedProvider], status: int
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, Answer(status=status))
    assert caught.value.transient


async def test_an_overload_in_the_middle_of_the_stream_is_no_answer(
    make: Callable[..., ManagedProvider],
) -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, Answer(text="half an answer", error=error, error_after=4))
    assert (caught.value.why, caught.value.transient) == ("Overloaded", True)


async def test_a_full_quota_in_the_stream_is_a_rate_limit(make: Callable[..., ManagedProvider]) -> None:
    with pytest.raises(ModelRateLimited):
        await _ask(make, Answer(error={"type": "rate_limit_error", "message": "slow down"}))


async def test_a_refused_request_in_the_stream_is_not_asked_again(
    make: Callable[..., ManagedProvider],
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, Answer(error={"type": "invalid_request_error", "message": "bad picture"}))
    assert not caught.value.transient


# --- broken streams

CALLS = Answer(blocks=[said("I look."), tool_use("a", "look", at=1), tool_use("b", "look", at=2)])


async def _whole_events() -> int:
    async with FakeAnthropic() as api:
        return len(list(api.events(_seen(), CALLS)))


def _seen() -> Any:
    from tests.fakes.model_site import Seen

    return Seen(path="", body={"model": "m", "messages": []}, headers={})


@pytest.mark.parametrize("how", ["close_after", "reset_after"])
async def test_wherever_a_stream_breaks_no_half_answer_and_no_half_call_comes_out(
    make: Callable[..., ManagedProvider], how: str
) -> None:
    total = await _whole_events()
    broken = [Answer(blocks=CALLS.blocks, **{how: count}) for count in range(total)]  # type: ignore[arg-type]
    async with FakeAnthropic(*broken) as api:
        provider = make(api)
        for _ in range(total - 1):
            with pytest.raises(ModelUnavailable):
                await collect(provider, ask())
        # Only `message_stop` is missing: all of the answer is there.
        assert len((await collect(provider, ask())).tool_calls) == 2


@pytest.mark.parametrize(
    ("raw", "evidence"),
    [
        (["event: message_start\ndata: {broken\n\n"], "broken JSON"),
        (["event: x\ndata: [1]\n\n"], "an event is a list"),
        (['data: {"choices": []}\n\n'], "an object without a type"),
        (['event: ping\ndata: {"type": "ping"}\n\n'], "in the middle of the answer"),
    ],
)
async def test_a_malformed_stream_is_unavailable_with_its_evidence(
    make: Callable[..., ManagedProvider], raw: list[str], evidence: str
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, Answer(raw=raw))
    assert evidence in caught.value.why


async def test_silence_in_the_middle_ends_and_frees_the_socket(make: Callable[..., ManagedProvider]) -> None:
    async with FakeAnthropic(Answer(hang_after=4)) as api:
        with pytest.raises(ModelUnavailable) as caught:
            await collect(make(api, idle_s=0.05), ask())
        await api.requests[0].ended.wait()
        assert api.requests[0].disconnected
    assert "idle_s" in caught.value.why


async def test_leaving_early_frees_the_socket(make: Callable[..., ManagedProvider]) -> None:
    async with FakeAnthropic(Answer(text="x" * 100, hang_after=6)) as api:
        async with aclosing(make(api).stream(ask())) as events:
            await anext(events)
        await api.requests[0].ended.wait()
        assert api.requests[0].disconnected


async def test_pings_alone_are_no_slow_stream(make: Callable[..., ManagedProvider]) -> None:
    """A model may think for minutes in secret, and a ping every few seconds is all that comes."""
    ping = 'event: ping\ndata: {"type": "ping"}\n\n'
    heard: list[ModelEvent] = []

    def later(event: ModelEvent) -> None:
        heard.append(event)
        jump(20)  # two of them are longer than the window

    async with FakeAnthropic(Answer(raw=[ping] * 8, pause_s=20)) as api:
        chat = make(api, min_bytes_per_s=5000, rate_window_s=30)
        with pytest.raises(ModelUnavailable) as caught:
            await collect(chat, ask(), later)
    assert heard == [Progress("keepalive")] * 8
    assert "in the middle of the answer" in caught.value.why  # and not "fewer than 5000 bytes a second"


async def test_a_refusal_without_a_word_is_no_answer(make: Callable[..., ManagedProvider]) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, Answer(blocks=[tool_use("a", "look")], stop="refusal"))
    assert caught.value.why == "the provider filtered it"
