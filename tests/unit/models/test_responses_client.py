"""OpenAI's Responses over real sockets, against a server that refuses what the real one refuses."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.errors import ContextTooLong, ModelAuthError, ModelRateLimited, ModelUnavailable
from clawd.messages import Image, Text
from clawd.models import responses
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
from clawd.models.responses_config import ResponsesConfig
from clawd.response import Thinking, ToolCall
from clawd.tools.base import ToolSpec
from tests.fakes.responses_api import Answer, FakeResponses, call, reasoning, refused, said
from tests.unit.models.conftest import ask, make_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from clawd.models.base import ChatMessage, ManagedProvider, ModelEvent, ModelResponse

LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"}, effect="pure")
KEY = "sk-test-0123456789abcdef"


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., ManagedProvider]]:
    async with AsyncExitStack() as stack:

        def create(api: FakeResponses, **settings: Any) -> ManagedProvider:
            config = ResponsesConfig(name="gpt", type="responses", base_url=api.base_url, **settings)
            provider = responses.PLUGIN.create(make_context(), config)
            stack.push_async_callback(provider.close)
            return provider

        yield create


async def _ask(
    make: Callable[..., ManagedProvider], answer: Answer, **settings: Any
) -> tuple[ModelResponse, list[ModelEvent]]:
    events: list[ModelEvent] = []
    async with FakeResponses(answer) as api:
        return await collect(make(api, **settings), ask(), events.append), events


@pytest.mark.parametrize(
    "answer",
    [
        Answer(text="日本語 🎉"),
        Answer(text="日本語 🎉", split=7, fragment=1),
        Answer(text="日本語 🎉", names=False, newline="\r\n"),
        Answer(text="日本語 🎉", deltas=False),
        Answer(text="日本語 🎉", as_json=True),
    ],
    ids=["plain", "split", "no_names", "no_deltas", "json"],
)
async def test_every_dialect_gives_the_same_answer(
    make: Callable[..., ManagedProvider], answer: Answer
) -> None:
    response, _ = await _ask(make, answer)
    assert (response.text, response.finish) == ("日本語 🎉", "stop")
    assert response.usage == Usage(
        input_tokens=328, output_tokens=7, cached_tokens=300, cache_write_tokens=20, thinking_tokens=4
    )


async def test_keep_alives_are_seen(make: Callable[..., ManagedProvider]) -> None:
    _, events = await _ask(make, Answer(text="x", keepalives=2))
    assert events[:3] == [Progress("keepalive"), Progress("keepalive"), TextDelta("x")]


async def test_a_whole_turn_with_reasoning_and_parallel_calls_is_taken_by_a_strict_server(
    make: Callable[..., ManagedProvider],
) -> None:
    first = [
        reasoning("rs_1", "Two places.", "Both near."),
        call("a", "look", '{"at": "ü"}'),
        reasoning("rs_2"),
        call("b", "look"),
    ]
    answers = (
        Answer(items=first),
        Answer(items=[reasoning("rs_3"), call("c", "look")]),
        Answer(text="Done."),
    )
    async with FakeResponses(*answers) as api:
        provider = make(api, reasoning={"effort": "low", "summary": "auto"})
        messages: tuple[ChatMessage, ...] = (SystemMessage("Be brief."), UserMessage((Text("go"),)))
        texts = []
        for _ in range(3):
            response = await collect(
                provider, ModelRequest(messages=messages, tools=(LOOK,), temperature=0.1)
            )
            texts.append(response.text)
            said_back = AssistantMessage(
                text=response.text,
                tool_calls=response.tool_calls,
                thinking=response.thinking,
                model=response.model,
            )
            results = (ToolMessage(call_id=c.id, name=c.name, text="seen") for c in response.tool_calls)
            messages = (*messages, said_back, *results)
    assert texts == ["", "", "Done."]
    assert [seen.refused for seen in api.requests] == ["", "", ""]
    assert api.requests[1].body["input"][1] == first[0]
    assert [i.get("type") for i in api.requests[1].body["input"][1:5]] == [i["type"] for i in first]


async def test_a_conversation_that_another_model_began_is_taken_by_a_strict_server(
    make: Callable[..., ManagedProvider],
) -> None:
    broken = ToolCall(id="functions.look:0" * 9, name="look.around", arguments="{broken")
    strange: tuple[ChatMessage, ...] = (
        AssistantMessage(text="Hello."),
        UserMessage((Text(""), Image(ref="AgAC"), Image(ref="https://example.com/cat.png"))),
        AssistantMessage(text=" ", tool_calls=(broken, ToolCall(id="x", name="look", arguments=""))),
        ToolMessage(call_id="x", name="look", text=""),
        ToolMessage(call_id="gone", name="look", text="late"),
    )
    form = OutputSchema(
        name="cat",
        schema={"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    )
    async with FakeResponses(Answer(text="{}"), reasons=False) as api:
        request = ModelRequest(messages=strange, temperature=0.5, schema=form, max_tokens=5, tools=(LOOK,))
        response = await collect(make(api), request)
    assert json.loads(response.text) == {}


async def test_reasoning_that_the_api_no_longer_takes_is_left_out(
    make: Callable[..., ManagedProvider],
) -> None:
    step = AssistantMessage(
        text="",
        tool_calls=(ToolCall(id="a", name="look", arguments="{}"),),
        thinking=(Thinking(id="rs_1", data="sealed with another account's key"),),
        model="gpt",
    )
    messages = (*ask("go").messages, step, ToolMessage(call_id="a", name="look", text="seen"))
    async with FakeResponses(Answer(text="Done.")) as api:
        response = await collect(make(api, reasoning={}), ModelRequest(messages=messages))
    assert response.text == "Done."
    assert "could not be verified" in api.requests[0].refused
    assert [item.get("type") for item in api.requests[1].body["input"]] == [
        None,
        "function_call",
        "function_call_output",
    ]


async def test_a_refusal_is_an_answer_that_says_so(make: Callable[..., ManagedProvider]) -> None:
    response, _ = await _ask(make, Answer(items=[refused("I can't help with that.")]))
    assert (response.text, response.finish) == ("I can't help with that.", "filtered")


# --- errors


async def test_a_refused_key_is_named_by_its_origin(make: Callable[..., ManagedProvider]) -> None:
    async with FakeResponses(key="right") as api:
        with pytest.raises(ModelAuthError) as caught:
            await collect(make(api, api_key=Secret(KEY, "config.yaml:12")), ask())
    assert "config.yaml:12, ends in …cdef" in str(caught.value)
    assert KEY not in f"{caught.value!r} {caught.value}"


async def test_an_error_quotes_the_requests_id(make: Callable[..., ManagedProvider]) -> None:
    answer = Answer(status=400, error={"message": "no"}, headers={"x-request-id": "req_7"})
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, answer)
    assert caught.value.why == "HTTP 400: no (request req_7)"


async def test_a_rate_limit_tells_how_long_to_wait(make: Callable[..., ManagedProvider]) -> None:
    answer = Answer(
        status=429, error={"message": "m", "code": "rate_limit_exceeded"}, headers={"retry-after": "9"}
    )
    with pytest.raises(ModelRateLimited) as caught:
        await _ask(make, answer)
    assert caught.value.retry_after_s == 9


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=400, error={"message": "m", "code": "context_length_exceeded"}),
        Answer(error={"message": "Your input exceeds the context window of this model.", "code": "context_length_exceeded"}),
        Answer(text="", failed={"code": "context_length_exceeded", "message": "m"}),
    ],
    ids=["status", "event", "failed"],
)  # fmt: skip
async def test_a_conversation_that_is_too_long_is_told_apart(
    make: Callable[..., ManagedProvider], answer: Answer
) -> None:
    with pytest.raises(ContextTooLong):
        await _ask(make, answer)


@pytest.mark.parametrize(
    ("answer", "transient"),
    [
        (Answer(text="half", failed={"code": "server_error", "message": "m"}), True),
        (Answer(text="half", error={"code": "server_error", "message": "m"}, error_after=5), True),
        (Answer(text="", failed={"code": "invalid_prompt", "message": "m"}), False),
        (Answer(text="", incomplete="content_filter"), True),
        (Answer(text="", incomplete="max_output_tokens"), True),
    ],
    ids=["failed", "error", "invalid", "filtered", "length"],
)
async def test_an_answer_that_failed_is_none(
    make: Callable[..., ManagedProvider], answer: Answer, transient: bool
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make, answer)
    assert caught.value.transient is transient


@pytest.mark.parametrize("how", ["close_after", "reset_after"])
async def test_wherever_a_stream_breaks_no_half_answer_and_no_half_call_comes_out(
    make: Callable[..., ManagedProvider], how: str
) -> None:
    items = [reasoning("rs_1", "Hm."), said("I look."), call("a", "look", '{"at": 1}')]
    seen: Any = type("Seen", (), {"body": {"model": "m", "input": "x"}})
    total = len(list(FakeResponses().events(seen, Answer(items=items))))
    broken = [Answer(items=items, **{how: count}) for count in range(total)]  # type: ignore[arg-type]
    async with FakeResponses(*broken) as api:
        provider = make(api)
        for _ in range(total):
            with pytest.raises(ModelUnavailable):
                await collect(provider, ask())
        assert len(api.requests) == total


async def test_an_answer_of_megabytes_in_its_last_event_is_read(make: Callable[..., ManagedProvider]) -> None:
    text = "x" * 2_000_000
    response, _ = await _ask(make, Answer(text=text, fragment=100_000))
    assert response.text == text
