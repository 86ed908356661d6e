"""The wire client against a real server on loopback: good answers, statuses, connections, time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Literal

import pytest

from clawd.errors import ContextTooLong, ModelAuthError, ModelRateLimited, ModelUnavailable
from clawd.models.base import Progress, TextDelta, Usage, collect
from clawd.models.chat_config import ChatConfig
from tests.fakes.descriptors import no_descriptor_left
from tests.fakes.line import Line
from tests.fakes.loop_clock import jump, stopped
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.unit.models.conftest import answered, ask, failed

if TYPE_CHECKING:
    from clawd.models.base import ManagedProvider
    from tests.unit.models.conftest import MakeChat

KEY = "sk-test-0123456789abcdef"


# --- good answers, in every dialect


async def test_text_streams_and_arrives_whole_with_its_usage(make_chat: MakeChat) -> None:
    response, events = await answered(make_chat, Reply(chunks=["Hel", "lo ", "you"]))
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Hel", "lo ", "you"]
    assert response.text == "Hello you"
    assert response.usage == Usage(input_tokens=11, output_tokens=7, cached_tokens=3)
    assert response.model == "main"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(chunks=["日本", "語 🎉"], split=1),
        Reply(chunks=["日本", "語 🎉"], newline="\r\n"),
        Reply(chunks=["日本", "語 🎉"], newline="\r", split=3),
        Reply(chunks=["日本", "語 🎉"], done=False),
        Reply(chunks=["日本", "語 🎉"], usage=None),
        Reply(chunks=["日本", "語 🎉"], usage_in_every_chunk=True),
        Reply(chunks=["日本", "語 🎉"], keepalives=3),
        Reply(chunks=["日本", "語 🎉"], as_json=True),
        Reply(chunks=["日本", "語 🎉"], null_content=False),
        Reply(chunks=["日本", "語 🎉"], reasoning=["hm", "aha"]),
        Reply(chunks=["日本", "語 🎉"], reasoning=["hm", "aha"], reasoning_field="reasoning"),
        Reply(chunks=["日本", "語 🎉"], content_type="application/octet-stream"),
        Reply(chunks=["日本", "語 🎉"], content_type="application/json"),
        Reply(chunks=["日本", "語 🎉"], as_json=True, content_type="text/event-stream"),
        Reply(chunks=["日本", "語 🎉"], as_json=True, keepalives=3),
    ],
    ids=["split", "crlf", "cr", "no_done", "no_usage", "usage_each", "keepalive", "json", "no_null",
         "reasoning_content", "reasoning", "content_type", "called_json", "json_called_stream", "json_keepalive"],
)  # fmt: skip
async def test_every_dialect_gives_the_same_answer(make_chat: MakeChat, reply: Reply) -> None:
    response, _ = await answered(make_chat, reply)
    assert response.text == "日本語 🎉"
    assert response.finish == "stop"


ONE = '{"choices":[{"index":0,"delta":{"content":"fine"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize(
    "raw",
    [
        f"\ufeffid: 1\nretry: 3000\nevent: message\ndata:{ONE}\n\ndata: [DONE]\n\n",
        f"\n\n\ndata: {ONE}\n\ndata: [DONE]",
        f": ping\n\nevent: ping\ndata: {{}}\n\ndata: {ONE}\n\n",
        f"data: {ONE[:20]}\ndata: {ONE[20:]}\n\n",
        f"data: {ONE}\n\ndata: [DONE]\n\ndata: {{broken\n\n",
        f"data: {ONE}\n\ndata: {{broken\n\n",
        f'data: {ONE}\n\ndata: {{"error": {{"message": "late"}}}}\n\n',
        f"\n \n{ONE}\n",
    ],
    ids=["fields", "no_last_line", "ping", "lines", "after_done", "after_finish", "late_error", "blank_json"],
)
async def test_what_stands_around_an_answer_is_passed_over(make_chat: MakeChat, raw: str) -> None:
    assert (await answered(make_chat, Reply(raw=[raw])))[0].text == "fine"


async def test_keep_alives_and_reasoning_are_signs_of_life(make_chat: MakeChat) -> None:
    _, events = await answered(make_chat, Reply(text="x", keepalives=2, reasoning=["hm"]))
    assert events[:3] == [Progress("keepalive"), Progress("keepalive"), Progress("thinking")]


async def test_keep_alives_hold_the_first_token_limit_off(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply(text="late", keepalives=3, keepalive_delay_s=20)) as api:
        chat = make_chat(api.base_url, first_token_timeout_s=30, idle_s=60)
        response = await collect(
            chat, ask(), lambda event: jump(20) if event == Progress("keepalive") else None
        )
    assert response.text == "late"


async def test_tool_calls_arrive_in_fragments_and_in_parallel(make_chat: MakeChat) -> None:
    calls = [
        {"id": "a", "name": "calculator", "arguments": '{"expression": "2+2"}'},
        {"id": "b", "name": "time", "arguments": '{"zone": "Asia/Tokyo"}'},
    ]
    response, _ = await answered(make_chat, Reply(tool_calls=calls, tool_fragment=3))
    assert [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in response.tool_calls] == calls
    assert response.finish == "tool_calls"


async def test_a_connection_cut_after_the_finish_loses_only_the_usage(make_chat: MakeChat) -> None:
    raw = ['data: {"choices":[{"index":0,"delta":{"content":"all"},"finish_reason":"stop"}]}\n\n', "data: {"]
    response, _ = await answered(make_chat, Reply(raw=raw))
    assert response.text == "all"


async def test_an_endpoint_is_posted_to_as_it_is(make_chat: MakeChat) -> None:
    del make_chat
    from clawd.models.chat import PLUGIN
    from tests.unit.models.conftest import make_context

    async with FakeOpenAI(Reply(text="x")) as api:
        config = ChatConfig(name="m", type="chat", endpoint=f"http://127.0.0.1:{api.port}/any/path")
        provider = PLUGIN.create(make_context(), config)
        await collect(provider, ask())
        await provider.close()
    assert api.requests[0].path == "/any/path"


async def test_the_key_goes_into_the_header_and_nowhere_else(
    make_chat: MakeChat, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeOpenAI(Reply(status=401, error={"message": f"bad key {KEY}"})) as api:
        with pytest.raises(ModelAuthError) as caught:
            await collect(make_chat(api.base_url, api_key=KEY), ask())
    assert api.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in f"{caught.value!r} {caught.value} {caplog.text}"


# --- statuses


async def test_a_rate_limit_tells_how_long_to_wait(make_chat: MakeChat) -> None:
    with pytest.raises(ModelRateLimited) as caught:
        await answered(make_chat, Reply(status=429, headers={"Retry-After": "9"}))
    assert caught.value.retry_after_s == 9


async def test_a_request_that_is_too_long_is_told_apart(make_chat: MakeChat) -> None:
    with pytest.raises(ContextTooLong):
        await answered(
            make_chat, Reply(status=400, error={"message": "m", "code": "context_length_exceeded"})
        )


async def test_a_redirect_is_not_followed_with_the_key(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as target:
        error = await failed(make_chat, Reply(status=307, headers={"Location": target.base_url}), api_key=KEY)
    assert "redirects" in error.what
    assert target.requests == []


async def test_a_rate_limit_without_a_word_leaves_the_wait_to_the_route(make_chat: MakeChat) -> None:
    with pytest.raises(ModelRateLimited) as caught:
        await answered(make_chat, Reply(status=429))
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_failing_server_is_unavailable(make_chat: MakeChat, status: int) -> None:
    assert f"HTTP {status}" in (await failed(make_chat, Reply(status=status))).why


# --- connections


async def test_a_closed_port_is_named_with_its_errno(make_chat: MakeChat) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ModelUnavailable) as caught:
        await collect(make_chat(f"http://127.0.0.1:{port}/v1"), ask())
    assert caught.value.what == f"no connection to 127.0.0.1:{port}"
    assert caught.value.why == "ECONNREFUSED: Connection refused"
    assert "running" in caught.value.remedy


async def test_a_lack_of_descriptors_is_this_machines_and_not_the_models(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply()) as api:
        model = make_chat(api.base_url)
        with no_descriptor_left(), pytest.raises(ModelUnavailable) as caught:
            await collect(model, ask())
        assert (caught.value.local, caught.value.transient) == (True, True)
        assert caught.value.why == "EMFILE: Too many open files"
        assert "LimitNOFILE" in caught.value.remedy
        assert (await collect(model, ask())).text == "you said: hi"


async def test_an_unknown_host_is_named(make_chat: MakeChat) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await collect(make_chat("http://no-such-host.invalid/v1"), ask())
    assert "no-such-host.invalid" in caught.value.what
    assert "name is unknown" in caught.value.why


async def test_a_host_that_takes_no_connection_is_left_after_connect_s(make_chat: MakeChat) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        filler = [socket.socket() for _ in range(3)]
        for one in filler:  # its queue is full: further ones hear nothing
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(full.getsockname())
        with pytest.raises(ModelUnavailable) as caught:
            await collect(make_chat(f"http://127.0.0.1:{full.getsockname()[1]}/v1", connect_s=0.2), ask())
        for one in filler:
            one.close()
    assert caught.value.why == "the connect time-out passed (connect_s)"


async def test_a_host_that_never_answers_the_tls_greeting_is_left_after_connect_s(
    make_chat: MakeChat,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(ModelUnavailable) as caught:
            await collect(make_chat(url, connect_s=0.2), ask())
    assert "connect_s" in caught.value.why


async def test_a_connection_is_kept_although_the_body_ends_a_moment_behind_the_answer(
    make_chat: MakeChat,
) -> None:
    connections = 0
    event = b'data: {"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
                writer.write(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()
                for _ in range(20):  # the answer is taken meanwhile
                    await asyncio.sleep(0)
                writer.write(b"0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        provider = make_chat(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        with stopped():
            for _ in range(3):
                assert (await collect(provider, ask())).text == "ok"
        await provider.close()
    assert connections == 1


async def test_a_kept_connection_that_died_is_replaced_without_a_word(make_chat: MakeChat) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        body = b'{"choices":[{"index":0,"message":{"content":"fine"},"finish_reason":"stop"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await reader.read(1)  # the next request on this connection meets a closed door
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        chat = make_chat(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        assert (await collect(chat, ask())).text == "fine"
        assert (await collect(chat, ask("again"))).text == "fine"
        await chat.close()
    assert connections == 2


async def test_connections_are_reused(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as api:
        chat = make_chat(api.base_url)
        for _ in range(3):
            await collect(chat, ask())
        assert api._runner is not None
        assert api._runner.server is not None
        assert len(api._runner.server.connections) == 1


# --- time


async def test_no_headers_in_time_is_a_missing_first_token(make_chat: MakeChat) -> None:
    error = await failed(make_chat, Reply(hang="headers"), first_token_timeout_s=0.2)
    assert error.why == "no first token within 0.2 s (first_token_timeout_s)"


async def test_headers_without_a_token_are_a_missing_first_token(make_chat: MakeChat) -> None:
    error = await failed(make_chat, Reply(hang="first_token"), first_token_timeout_s=0.2)
    assert error.why == "no first token within 0.2 s (first_token_timeout_s)"


async def test_silence_in_the_middle_is_the_idle_limit(make_chat: MakeChat) -> None:
    error = await failed(make_chat, Reply(text="long answer", hang="stream", null_content=False), idle_s=0.2)
    assert "idle_s" in error.why


@pytest.mark.parametrize("hang", ["headers", "first_token", "stream"])
async def test_silence_of_a_server_that_can_not_be_reached_any_more_is_no_slow_model(
    make_chat: MakeChat, hang: Literal["headers", "first_token", "stream"]
) -> None:
    reply = Reply(text="long answer", hang=hang, null_content=False)
    async with FakeOpenAI(reply) as api, Line(api.base_url) as line:
        chat = make_chat(line.url)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(errors(chat))
            await api.arrived()
            line.fall_silent()
            jump(60)
        error = task.result()
        assert error.what.endswith(" any more")
        assert (error.offline, error.transient) == (True, False)
        await chat.close()


async def errors(chat: ManagedProvider) -> ModelUnavailable:
    """Return what a request ends with."""
    with pytest.raises(ModelUnavailable) as caught:
        await collect(chat, ask())
    return caught.value


async def test_a_kept_connection_that_died_in_silence_is_no_slow_model(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as api, Line(api.base_url) as line:
        chat = make_chat(line.url)
        await collect(chat, ask())
        line.fall_silent()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(errors(chat))
            await line.dropped.wait()
            jump(60)
        assert task.result().offline
        assert len(api.requests) == 1
        await line.mend()
        assert (await collect(chat, ask())).text
        await chat.close()


async def test_a_slow_but_steady_stream_ends_at_the_total_limit(make_chat: MakeChat) -> None:
    reply = Reply(chunks=["x"] * 100, chunk_delay_s=0.05)
    error = await failed(make_chat, reply, total_s=0.4)
    assert "total_s" in error.why


async def test_a_drip_is_a_broken_stream(make_chat: MakeChat) -> None:
    reply = Reply(chunks=["x"], drip_s=0.02, null_content=False, raw=["data: {}\n\n", "data: " + "x" * 500])
    error = await failed(make_chat, reply, rate_window_s=0.5, min_bytes_per_s=200, idle_s=5)
    assert "fewer than 200 bytes a second" in error.why


async def test_cancelling_frees_the_socket(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply(hang="stream", text="abc", null_content=False)) as api:
        async with aclosing(make_chat(api.base_url).stream(ask())) as events:
            assert await anext(events) == TextDelta("abc")
        seen = await api.arrived()
        async with asyncio.timeout(30):
            await seen.ended.wait()
    assert seen.disconnected


# --- life


async def test_a_probe_stops_at_the_first_token(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply(text="x", hang="stream", null_content=False)) as api:
        line = await make_chat(api.base_url, model="big").probe()
        seen = await api.arrived()
        async with asyncio.timeout(30):
            await seen.ended.wait()
    assert line.startswith(f"big at 127.0.0.1:{api.port} answered after ")


async def test_a_proxys_keep_alive_is_no_proof_of_a_model(make_chat: MakeChat) -> None:
    reply = Reply(keepalives=2, null_content=False, chunks=[], error={"message": "no model behind this"})
    async with FakeOpenAI(reply) as api:
        with pytest.raises(ModelUnavailable, match="server failed"):
            await make_chat(api.base_url).probe()


async def test_a_closed_provider_says_so(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as api:
        chat = make_chat(api.base_url)
        await chat.close()
        with pytest.raises(ModelUnavailable, match="closed"):
            await collect(chat, ask())
