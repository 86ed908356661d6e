"""The wire client against a real server on loopback that misbehaves in every way of the fault list."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from clawd.errors import ContextTooLong, ModelAuthError, ModelRateLimited, ModelUnavailable
from clawd.models.base import KeyedProvider, Progress, TextDelta, Usage, collect
from clawd.models.chat_config import ChatConfig
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from clawd.models.base import ModelEvent, ModelResponse
    from tests.unit.models.conftest import MakeChat

KEY = "sk-test-0123456789abcdef"


async def _ask(make_chat: MakeChat, reply: Reply, **settings: Any) -> tuple[ModelResponse, list[ModelEvent]]:
    events: list[ModelEvent] = []
    async with FakeOpenAI(reply) as api:
        response = await collect(make_chat(api.base_url, **settings), ask(), events.append)
    return response, events


async def _fail(make_chat: MakeChat, reply: Reply, **settings: Any) -> ModelUnavailable:
    with pytest.raises(ModelUnavailable) as caught:
        await _ask(make_chat, reply, **settings)
    return caught.value


# --- good answers, in every dialect


async def test_text_streams_and_arrives_whole_with_its_usage(make_chat: MakeChat) -> None:
    response, events = await _ask(make_chat, Reply(chunks=["Hel", "lo ", "you"]))
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
    response, _ = await _ask(make_chat, reply)
    assert response.text == "日本語 🎉"
    assert response.finish == "stop"


async def test_keep_alives_and_reasoning_are_signs_of_life(make_chat: MakeChat) -> None:
    _, events = await _ask(make_chat, Reply(text="x", keepalives=2, reasoning=["hm"]))
    assert events[:3] == [Progress("keepalive"), Progress("keepalive"), Progress("thinking")]


async def test_keep_alives_hold_the_first_token_limit_off(make_chat: MakeChat) -> None:
    reply = Reply(text="late", keepalives=6, keepalive_delay_s=0.1)
    response, _ = await _ask(make_chat, reply, first_token_timeout_s=0.3, idle_s=5)
    assert response.text == "late"


async def test_tool_calls_arrive_in_fragments_and_in_parallel(make_chat: MakeChat) -> None:
    calls = [
        {"id": "a", "name": "calculator", "arguments": '{"expression": "2+2"}'},
        {"id": "b", "name": "time", "arguments": '{"zone": "Asia/Tokyo"}'},
    ]
    response, _ = await _ask(make_chat, Reply(tool_calls=calls, tool_fragment=3))
    assert [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in response.tool_calls] == calls
    assert response.finish == "tool_calls"


async def test_a_connection_cut_after_the_finish_loses_only_the_usage(make_chat: MakeChat) -> None:
    raw = ['data: {"choices":[{"index":0,"delta":{"content":"all"},"finish_reason":"stop"}]}\n\n', "data: {"]
    response, _ = await _ask(make_chat, Reply(raw=raw))
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
        await _ask(make_chat, Reply(status=429, headers={"Retry-After": "9"}))
    assert caught.value.retry_after_s == 9


async def test_a_request_that_is_too_long_is_told_apart(make_chat: MakeChat) -> None:
    with pytest.raises(ContextTooLong):
        await _ask(make_chat, Reply(status=400, error={"message": "m", "code": "context_length_exceeded"}))


async def test_a_redirect_is_not_followed_with_the_key(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as target:
        error = await _fail(make_chat, Reply(status=307, headers={"Location": target.base_url}), api_key=KEY)
    assert "redirects" in error.what
    assert target.requests == []


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_failing_server_is_unavailable(make_chat: MakeChat, status: int) -> None:
    assert f"HTTP {status}" in (await _fail(make_chat, Reply(status=status))).why


# --- connections


async def test_a_closed_port_is_named_with_its_errno(make_chat: MakeChat) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ModelUnavailable) as caught:
        await collect(make_chat(f"http://127.0.0.1:{port}/v1"), ask())
    assert caught.value.what == f"no connection to 127.0.0.1:{port}"
    assert caught.value.why == "ECONNREFUSED: Connection refused"
    assert "running" in caught.value.remedy


async def test_an_unknown_host_is_named(make_chat: MakeChat) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await collect(make_chat("http://no-such-host.invalid/v1"), ask())
    assert "no-such-host.invalid" in caught.value.what
    assert "name is unknown" in caught.value.why


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
    error = await _fail(make_chat, Reply(hang="headers"), first_token_timeout_s=0.2)
    assert error.why == "no first token within 0.2 s (first_token_timeout_s)"


async def test_headers_without_a_token_are_a_missing_first_token(make_chat: MakeChat) -> None:
    error = await _fail(make_chat, Reply(hang="first_token"), first_token_timeout_s=0.2)
    assert error.why == "no first token within 0.2 s (first_token_timeout_s)"


async def test_silence_in_the_middle_is_the_idle_limit(make_chat: MakeChat) -> None:
    error = await _fail(make_chat, Reply(text="long answer", hang="stream", null_content=False), idle_s=0.2)
    assert "idle_s" in error.why


async def test_a_slow_but_steady_stream_ends_at_the_total_limit(make_chat: MakeChat) -> None:
    reply = Reply(chunks=["x"] * 100, chunk_delay_s=0.05)
    error = await _fail(make_chat, reply, total_s=0.4)
    assert "total_s" in error.why


async def test_a_drip_is_a_broken_stream(make_chat: MakeChat) -> None:
    reply = Reply(chunks=["x"], drip_s=0.02, null_content=False, raw=["data: {}\n\n", "data: " + "x" * 500])
    error = await _fail(make_chat, reply, rate_window_s=0.5, min_bytes_per_s=200, idle_s=5)
    assert "fewer than 200 bytes a second" in error.why


async def test_cancelling_frees_the_socket(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply(hang="stream", text="abc", null_content=False)) as api:
        async with aclosing(make_chat(api.base_url).stream(ask())) as events:
            assert await anext(events) == TextDelta("abc")
        seen = await api.arrived()
        async with asyncio.timeout(5):
            await seen.ended.wait()
    assert seen.disconnected


# --- broken streams


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_reset_in_the_stream_is_a_broken_answer(make_chat: MakeChat, after: int) -> None:
    error = await _fail(make_chat, Reply(chunks=["a", "b", "c", "d"], reset_after=after, null_content=False))
    assert error.what == "the connection broke off in the middle of the answer"


async def test_an_end_without_finish_is_a_broken_answer(make_chat: MakeChat) -> None:
    error = await _fail(make_chat, Reply(chunks=["a", "b", "c"], close_after=2))
    assert error.why == "the stream ended in the middle of the answer"


async def test_a_half_tool_call_never_arrives(make_chat: MakeChat) -> None:
    call = {"id": "a", "name": "shell", "arguments": '{"command": "rm -rf ./cache"}'}
    error = await _fail(make_chat, Reply(tool_calls=[call], tool_fragment=4, close_after=4))
    assert error.why == "the stream ended in the middle of the answer"


async def test_an_error_object_in_the_stream_is_the_providers_error(make_chat: MakeChat) -> None:
    error = await _fail(
        make_chat, Reply(text="partial", error={"message": "upstream overloaded", "code": 502})
    )
    assert error.why == "upstream overloaded"


async def test_an_error_object_as_a_json_answer_is_the_providers_error(make_chat: MakeChat) -> None:
    reply = Reply(body='{"error": {"message": "no credit", "code": 402}}', content_type="application/json")
    assert (await _fail(make_chat, reply)).why == "no credit"


@pytest.mark.parametrize(
    ("raw", "evidence"),
    [
        (["data: {broken\n\n"], "broken JSON: {broken"),
        (["data: null\n\n"], "a chunk is null"),
        (["data: [1]\n\n"], "a chunk is a list"),
        (['data: {"choices": 5}\n\n'], "`choices` is a number"),
        (["nothing of the kind"], "a stream without events: nothing of the kind"),
        ([], "an empty answer"),
        (["data: " + "[" * 200_000 + "\n\n"], "broken JSON"),
        (["data: " + "x" * 1_100_000], "more than 1048576 bytes"),
        (["data: \udcff\udcfe\n\n"], "broken JSON"),
    ],
    ids=["bad_json", "null", "list", "choices", "no_events", "empty", "deep", "giant_line", "not_utf8"],
)
async def test_a_malformed_stream_is_unavailable_with_its_evidence(
    make_chat: MakeChat, raw: list[str], evidence: str
) -> None:
    error = await _fail(make_chat, Reply(raw=raw))
    assert evidence in error.why
    assert len(error.why) <= 300


async def test_a_web_page_is_no_answer(make_chat: MakeChat) -> None:
    error = await _fail(make_chat, Reply(body="<html>welcome</html>"))
    assert "web page" in error.why


async def test_an_endless_stream_is_cut(make_chat: MakeChat) -> None:
    error = await _fail(make_chat, Reply(endless=True), max_response_bytes=200_000)
    assert error.what == "the answer is too long"


async def test_a_giant_json_answer_is_cut(make_chat: MakeChat) -> None:
    reply = Reply(body="x" * 500_000, content_type="application/json")
    assert (await _fail(make_chat, reply, max_response_bytes=200_000)).what == "the answer is too long"


@pytest.mark.parametrize(
    ("finish", "why"), [("stop", "no text"), ("length", "max_tokens"), ("content_filter", "filtered")]
)
async def test_an_empty_answer_says_why_it_is_empty(make_chat: MakeChat, finish: str, why: str) -> None:
    error = await _fail(make_chat, Reply(chunks=[" \n"], finish=finish))
    assert error.what == "the model's answer is empty"
    assert why in error.why


async def test_an_answer_that_does_not_stream_is_cut_at_its_own_limit(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply(huge=200_000_000)) as api:
        with pytest.raises(ModelUnavailable) as caught:
            await collect(make_chat(api.base_url), ask())
        seen = await api.arrived()
        async with asyncio.timeout(5):
            await seen.ended.wait()
    assert caught.value.what == "the answer is too long"
    assert "8000000 bytes" in caught.value.why
    assert seen.disconnected
    assert seen.sent < 30_000_000  # the rest was never asked for


async def test_json_that_would_fill_the_memory_once_parsed_is_refused_unparsed(make_chat: MakeChat) -> None:
    body = '{"choices":[' + "{}," * 600_000 + "{}]}"
    error = await _fail(make_chat, Reply(body=body, content_type="application/json"))
    assert "more than 500000 values" in error.why


async def test_an_errors_body_is_read_to_a_limit_and_no_longer_than_the_connection_may_take(
    make_chat: MakeChat,
) -> None:
    long = Reply(status=500, body="x" * 3_000_000, content_type="text/plain")
    assert len((await _fail(make_chat, long)).why) < 400
    slow = Reply(status=500, body='{"error": {"message": "on fire"', hang="body")
    assert "on fire" in (await _fail(make_chat, slow, connect_s=0.2)).why


async def test_an_errors_body_in_pieces_is_put_together(make_chat: MakeChat) -> None:
    words = "the model is overloaded, " * 8
    reply = Reply(status=503, body=json.dumps({"error": {"message": words}}), split=20)
    assert (await _fail(make_chat, reply)).why == f"HTTP 503: {words.strip()}"


@pytest.mark.parametrize("status", [200, 500])
async def test_a_compressed_answer_is_never_unpacked(make_chat: MakeChat, status: int) -> None:
    reply = Reply(status=status, body="\x1f\x8b not unpacked", headers={"Content-Encoding": "gzip"})
    error = await _fail(make_chat, reply)
    if status == 200:
        assert error.what == "the answer is compressed"
        assert "gzip" in error.why
        assert not error.transient
    else:
        assert error.why == "HTTP 500: no explanation"


@pytest.mark.parametrize(
    "raw",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n", b'{"choices"'],
        [b"this is no HTTP at all\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000],
        [],
    ],
    ids=["chunk_size", "short_body", "no_http", "long_header", "nothing"],
)
async def test_a_server_that_breaks_http_itself_is_unavailable(make_chat: MakeChat, raw: list[bytes]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in raw:
            writer.write(piece)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        chat = make_chat(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        with pytest.raises(ModelUnavailable) as caught:
            await collect(chat, ask())
        await chat.close()
    assert caught.value.why


# --- what a section adds to requests


async def test_headers_replace_ours_and_their_secrets_are_never_quoted(make_chat: MakeChat) -> None:
    headers = {"authorization": "Basic dXNlcjpwYXNzd29yZA==", "X-Title": "clawd"}
    async with FakeOpenAI(Reply(status=401, error={"message": "no dXNlcjpwYXNzd29yZA=="})) as api:
        chat = make_chat(api.base_url, headers=headers)
        with pytest.raises(ModelAuthError) as caught:
            await collect(chat, ask())
    seen = api.requests[0].headers
    assert (seen["authorization"], seen["x-title"]) == (headers["authorization"], "clawd")
    assert "dXNlc" not in f"{caught.value} {caught.value.why} {caught.value.what} {chat!r}"
    assert "header authorization" in caught.value.what


async def test_keys_are_added_to_the_body_and_left_out_of_it(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as api:
        chat = make_chat(
            api.base_url,
            temperature=0.5,
            extra_body={"provider": {"order": ["a"]}, "temperature": 1},
            omit=["stream_options"],
        )
        await collect(chat, ask())
    body = api.requests[0].body
    assert (body["provider"], body["temperature"]) == ({"order": ["a"]}, 1)
    assert "stream_options" not in body


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"headers": {"a b": "x"}}, "not a header's name"),
        ({"headers": {"X": "a\nb"}}, "one line"),
        ({"headers": {"X": 5}}, "expected a text"),
        ({"api_key": "sk-a\nb"}, "line end"),
        ({"base_url": "http://u:p@h/v1", "api_key": "sk-x"}, "not in both"),
        ({"base_url": "http://u:p@h/v1", "headers": {"Authorization": "x"}}, "not in both"),
    ],
)
def test_what_no_request_can_carry_is_a_mistake_of_the_configuration(
    wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ChatConfig(**{"name": "m", "type": "chat", "base_url": "http://h/v1", **wrong})


async def test_models_share_a_key_by_host_and_key_and_it_can_not_be_read_from_that(
    make_chat: MakeChat,
) -> None:
    one, same = make_chat("http://h/v1", "a", api_key=KEY), make_chat("http://h/v2", "b", api_key=KEY)
    others = [
        make_chat("http://h/v1", api_key=KEY + "x"),
        make_chat("http://h:81/v1", api_key=KEY),
        make_chat("http://h/v1", headers={"api-key": KEY + "y"}),
        make_chat("http://h/v1"),
    ]
    assert isinstance(one, KeyedProvider)
    ids = [provider.key_id for provider in (one, *others) if isinstance(provider, KeyedProvider)]
    assert len(set(ids)) == 5
    assert isinstance(same, KeyedProvider)
    assert same.key_id == one.key_id
    assert not any(KEY[:4] in key_id for key_id in ids)


# --- life


async def test_a_probe_stops_at_the_first_token(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply(text="x", hang="stream", null_content=False)) as api:
        line = await make_chat(api.base_url, model="big").probe()
        seen = await api.arrived()
        async with asyncio.timeout(5):
            await seen.ended.wait()
    assert line.startswith(f"big at 127.0.0.1:{api.port} answered after ")


async def test_a_closed_provider_says_so(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as api:
        chat = make_chat(api.base_url)
        await chat.close()
        with pytest.raises(ModelUnavailable, match="closed"):
            await collect(chat, ask())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"base_url": "http://h/v1", "endpoint": "http://h/x"},
        {"base_url": "h/v1"},
        {"endpoint": "ftp://h/x"},
    ],
)
def test_exactly_one_http_address_is_asked_for(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"exactly one of|begin with"):
        ChatConfig(name="m", type="chat", **settings)  # type: ignore[arg-type]
