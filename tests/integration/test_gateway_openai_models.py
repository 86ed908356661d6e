"""Models asked through the OpenAI-compatible endpoints, over real sockets: answers, streams, refusals, hang-ups."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from clawd.errors import (
    ContextTooLong,
    ModelAuthError,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
)
from clawd.gateway.openai_models import Offered
from clawd.models.router import Route
from clawd.response import ToolCall
from clawd.testing import ScriptedModel
from tests.fakes.gateway_site import Site, not_ready, site
from tests.fakes.routing import router_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import aiohttp

HI: dict[str, Any] = {"model": "main", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"


def over(
    state_dir: Path, *models: ScriptedModel, keepalive_s: float = 15
) -> AbstractAsyncContextManager[Site]:
    """Return a gateway over these models, all of them in the route `all` too."""
    names = tuple(model.name for model in models)
    router = router_over(*models, routes={"all": Route(models=names, hedge=False)}, hedge=False)
    offered = Offered(router=router, models=names, routes=("default", "all"))
    return site(state_dir, offered=offered, keepalive_s=keepalive_s)


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Yield the lines of a stream that say something."""
    async for line in response.content:
        if text := line.decode().strip():
            yield text


async def streamed(here: Site, body: dict[str, Any]) -> list[str]:
    """Return all lines of one streamed answer."""
    headers = {"Authorization": f"Bearer {here.token}"}
    async with here.client.post(PATH, json={**body, "stream": True}, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        return [line async for line in events_of(response)]


def chunks_of(lines: list[str]) -> list[dict[str, Any]]:
    """Return the chunks of a stream that ended as it should."""
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1] if line.startswith("data: ")]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))


async def test_the_list_names_the_agent_models_and_routes(state_dir: Path) -> None:
    async with over(state_dir, ScriptedModel(name="main")) as here:
        status, body = await here.call("GET", "/v1/models")
        assert (status, body["object"]) == (200, "list")
        assert [(m["id"], m["owned_by"]) for m in body["data"]] == [
            ("clawd", "clawd"),
            ("main", "clawd-model"),
            ("default", "clawd-route"),
            ("all", "clawd-route"),
        ]
        assert (await here.call("GET", "/v1/models/main"))[1] == body["data"][1]
        status, body = await here.call("GET", "/v1/models/none")
        assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_a_model_answers_whole(state_dir: Path) -> None:
    model = ScriptedModel("Hello.", name="main")
    async with over(state_dir, model) as here:
        status, body = await here.call("POST", PATH, json={**HI, "temperature": 0.5, "max_tokens": 9})
        assert status == 200
        assert (body["object"], body["model"]) == ("chat.completion", "main")
        [choice] = body["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello.", "stop")
        assert body["usage"]["total_tokens"] == 2
        [asked] = model.requests
        assert (asked.pin, asked.strict, asked.temperature, asked.max_tokens) == ("main", True, 0.5, 9)
        assert (asked.tags.bridge, asked.tags.user, asked.tags.conversation) == ("api", "api:default", "")


async def test_a_stream_has_a_role_first_and_the_usage_last(state_dir: Path) -> None:
    async with over(state_dir, ScriptedModel(["Hel", "lo."], name="main")) as here:
        body = {**HI, "stream_options": {"include_usage": True}}
        *chunks, finish, usage = chunks_of(await streamed(here, body))
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [c["choices"][0]["delta"]["content"] for c in chunks[1:]] == ["Hel", "lo."]
        assert finish["choices"][0]["finish_reason"] == "stop"
        assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 1)
        assert len({c["id"] for c in (*chunks, finish, usage)}) == 1


async def test_without_the_wish_there_is_no_usage_in_a_stream(state_dir: Path) -> None:
    async with over(state_dir, ScriptedModel("Hello.", name="main")) as here:
        assert all("usage" not in chunk for chunk in chunks_of(await streamed(here, HI)))


async def test_calls_are_streamed_and_their_results_go_back(state_dir: Path) -> None:
    call = ToolCall(id="c1", name="get_weather", arguments=json.dumps({"city": "x" * 1500}))
    model = ScriptedModel(["", call], "Sunny.", name="main")
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    async with over(state_dir, model) as here:
        chunks = chunks_of(await streamed(here, {**HI, "tools": [tool]}))
        pieces = [c["choices"][0]["delta"]["tool_calls"][0] for c in chunks[1:-1]]
        assert (pieces[0]["index"], pieces[0]["id"], pieces[0]["function"]["name"]) == (
            0,
            "c1",
            "get_weather",
        )
        assert "".join(p["function"]["arguments"] for p in pieces) == call.arguments
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        said = {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
            ],
        }
        result = {"role": "tool", "tool_call_id": "c1", "content": "sun"}
        messages = [*HI["messages"], said, result]
        assert (await here.call("POST", PATH, json={**HI, "messages": messages, "tools": [tool]}))[0] == 200
        assert model.requests[1].messages[2].name == "get_weather"  # type: ignore[union-attr]


async def test_a_stream_that_changes_models_marks_where_it_begins_anew(state_dir: Path) -> None:
    broken = ScriptedModel(["Half a ", ModelUnavailable("first", "broke off")], name="first")
    async with over(state_dir, broken, ScriptedModel("Whole.", name="second")) as here:
        chunks = chunks_of(await streamed(here, {**HI, "model": "all"}))
        assert text_of(chunks) == "Half a \n\n[The answer broke off here and begins anew.]\n\nWhole."
        assert chunks[-1]["clawd"] == {"model": "second"}


async def test_a_second_beginning_that_says_the_same_goes_on_unnoticed(state_dir: Path) -> None:
    broken = ScriptedModel(["Half ", ModelUnavailable("first", "broke off")], name="first")
    async with over(state_dir, broken, ScriptedModel(["Ha", "lf a loaf."], name="second")) as here:
        assert text_of(chunks_of(await streamed(here, {**HI, "model": "all"}))) == "Half a loaf."


async def test_text_that_a_program_reads_is_held_back_until_it_is_whole(state_dir: Path) -> None:
    broken = ScriptedModel(["{", ModelUnavailable("first", "broke off")], name="first")
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    async with over(state_dir, broken, ScriptedModel(["{", "}"], name="second")) as here:
        chunks = chunks_of(await streamed(here, {**HI, "model": "all", "response_format": form}))
        assert [c["choices"][0]["delta"].get("content") for c in chunks] == ["", "{}", None]


async def test_a_model_that_a_client_names_is_not_replaced_by_another(state_dir: Path) -> None:
    down = ScriptedModel(ModelUnavailable("main", "down", transient=False), name="main")
    spare = ScriptedModel(name="spare")
    async with over(state_dir, down, spare) as here:
        assert (await here.call("POST", PATH, json=HI))[0] == 502
        assert spare.requests == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ModelRateLimited("main", retry_after_s=3600), 429, "rate_limit_exceeded"),
        (
            ModelAuthError("main", "the provider refuses the API key (sk-12…)", why="HTTP 401"),
            502,
            "model_auth",
        ),
        (ContextTooLong("main", "too long"), 400, "context_length_exceeded"),
        (ModelUnavailable("main", "refused", why="at 10.0.0.1", transient=False), 502, "model_failed"),
    ],
)
async def test_errors_of_models_have_their_status_also_in_a_stream(
    state_dir: Path, error: ModelError, status: int, code: str
) -> None:
    for stream in (False, True):
        async with over(state_dir, ScriptedModel(error, error, error, error, name="main")) as here:
            found, body = await here.call("POST", PATH, json={**HI, "stream": stream})
            assert (found, body["error"]["code"]) == (status, code)
            assert set(body["error"]) == {"message", "type", "param", "code", "request_id"}


async def test_an_error_behind_the_first_text_is_told_in_the_stream(state_dir: Path) -> None:
    broken = ScriptedModel(["Half", *[ModelUnavailable("main", "off", transient=False)]], name="main")
    async with over(state_dir, broken) as here:
        lines = await streamed(here, HI)
        assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "model_failed"
        assert lines[-1] == "data: [DONE]"


async def test_an_answer_ends_where_its_client_says_also_where_the_model_goes_on(state_dir: Path) -> None:
    model = ScriptedModel(["one EN", "D two", " three"], "one END two", name="main")
    async with over(state_dir, model) as here:
        assert text_of(chunks_of(await streamed(here, {**HI, "stop": "END"}))) == "one "
        _, body = await here.call("POST", PATH, json={**HI, "stop": ["END", "two"]})
        assert body["choices"][0]["message"]["content"] == "one "
        assert [asked.stop for asked in model.requests] == [("END",), ("END", "two")]


async def test_silence_is_broken_by_comments(state_dir: Path) -> None:
    gate = asyncio.Event()
    headers = {"Authorization": "Bearer "}
    async with over(state_dir, ScriptedModel([gate, "Hello."], name="main"), keepalive_s=0.02) as here:
        headers["Authorization"] += here.token
        async with here.client.post(PATH, json={**HI, "stream": True}, headers=headers) as response:
            lines = events_of(response)
            first = await anext(lines)
            assert "assistant" in first
            assert await anext(lines) == ": keep-alive"
            gate.set()
            rest = [line async for line in lines if line != ": keep-alive"]
            assert text_of(chunks_of(rest)) == "Hello."


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up_frees_the_model(state_dir: Path, *, stream: bool) -> None:
    freed, gate = asyncio.Event(), asyncio.Event()

    class Watched(ScriptedModel):
        async def stream(self, request: Any) -> Any:
            try:
                async for event in super().stream(request):
                    yield event
            finally:
                freed.set()

    model = Watched(["Hello", gate], name="main")
    async with over(state_dir, model) as here:
        raw = json.dumps({**HI, "stream": stream}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {here.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
            + raw
        )
        await model.asked()
        if stream:  # from now on the model is silent
            async with asyncio.timeout(30):
                await reader.readuntil(b'"Hello"')
        writer.transport.abort()
        async with asyncio.timeout(30):
            await freed.wait()


async def test_a_stop_tells_those_who_wait(state_dir: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate], [gate], name="main")
    async with over(state_dir, model) as here, asyncio.TaskGroup() as group:
        waiting = group.create_task(here.call("POST", PATH, json=HI))
        await model.asked()
        await here.gateway.stop()
        status, body = await waiting
        assert (status, body["error"]["code"]) == (503, "draining")


async def test_no_and_wrong_tokens_paths_and_a_drain_are_told_in_openais_shape(state_dir: Path) -> None:
    async with over(state_dir, ScriptedModel(name="main")) as here:
        status, body = await here.call("GET", "/v1/models", token="wrong")
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        status, body = await here.call("GET", PATH)
        assert (status, body["error"]["param"]) == (405, None)
        for path in ("/v1/audio/speech", "/v1/images/generations"):
            status, body = await here.call("POST", path, json={})
            assert (status, body["error"]["code"]) == (501, "not_implemented")
        here.readiness = not_ready(draining=True)
        status, body = await here.call("POST", PATH, json=HI)
        assert (status, body["error"]["type"]) == (503, "server_error")
        status, body = await here.call("POST", "/v1/messages", json={"text": "hi"})
        assert "type" not in body["error"], "other paths keep their own shape"


async def test_a_response_that_breaks_off_ends_as_failed(state_dir: Path) -> None:
    broken = ScriptedModel(["Half", ModelUnavailable("main", "off", transient=False)], name="main")
    async with over(state_dir, broken) as here:
        headers = {"Authorization": f"Bearer {here.token}"}
        body = {"model": "main", "input": "hi", "stream": True}
        async with here.client.post("/v1/responses", json=body, headers=headers) as response:
            lines = [line async for line in events_of(response)]
        last = json.loads(lines[-1].removeprefix("data: "))
        assert (lines[-2], last["response"]["status"]) == ("event: response.failed", "failed")
        assert last["response"]["error"]["code"] == "model_failed"
        numbers = [json.loads(line[6:])["sequence_number"] for line in lines if line.startswith("data: ")]
        assert numbers == list(range(len(numbers)))
