"""The wire client against a real server on loopback whose answers are broken, too long or no answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from clawd.errors import ModelUnavailable
from clawd.models.base import collect
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.unit.models.conftest import answered, ask, failed

if TYPE_CHECKING:
    from tests.unit.models.conftest import MakeChat


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_reset_in_the_stream_is_a_broken_answer(make_chat: MakeChat, after: int) -> None:
    error = await failed(make_chat, Reply(chunks=["a", "b", "c", "d"], reset_after=after, null_content=False))
    assert error.what == "the connection broke off in the middle of the answer"


async def test_an_end_without_finish_is_a_broken_answer(make_chat: MakeChat) -> None:
    error = await failed(make_chat, Reply(chunks=["a", "b", "c"], close_after=2))
    assert error.why == "the stream ended in the middle of the answer"


async def test_a_half_tool_call_never_arrives(make_chat: MakeChat) -> None:
    call = {"id": "a", "name": "shell", "arguments": '{"command": "rm -rf ./cache"}'}
    error = await failed(make_chat, Reply(tool_calls=[call], tool_fragment=4, close_after=4))
    assert error.why == "the stream ended in the middle of the answer"


async def test_a_reset_in_the_middle_of_a_tool_call_leaves_nothing_to_act_on(make_chat: MakeChat) -> None:
    call = {"id": "a", "name": "shell", "arguments": '{"command": "rm -rf ./cache"}'}
    error = await failed(make_chat, Reply(tool_calls=[call], tool_fragment=4, reset_after=4))
    assert error.what == "the connection broke off in the middle of the answer"


async def test_a_done_in_the_middle_of_a_tool_call_is_a_broken_answer(make_chat: MakeChat) -> None:
    function = {"name": "shell", "arguments": '{"command": "rm -r'}
    delta = {"tool_calls": [{"index": 0, "id": "a", "function": function}]}
    raw = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n", "data: [DONE]\n\n"]
    assert (await failed(make_chat, Reply(raw=raw))).why == "the answer ended in the middle of a tool call"


async def test_a_call_cut_off_before_its_arguments_is_not_handed_on(make_chat: MakeChat) -> None:
    call = {"id": "a", "name": "shell", "arguments": ""}
    response, _ = await answered(make_chat, Reply(text="I will", tool_calls=[call], finish="length"))
    assert (response.text, response.tool_calls, response.finish) == ("I will", (), "length")


async def test_an_error_object_in_the_stream_is_the_providers_error(make_chat: MakeChat) -> None:
    error = await failed(
        make_chat, Reply(text="partial", error={"message": "upstream overloaded", "code": 502})
    )
    assert error.why == "upstream overloaded"


async def test_an_error_object_as_a_json_answer_is_the_providers_error(make_chat: MakeChat) -> None:
    reply = Reply(body='{"error": {"message": "no credit", "code": 402}}', content_type="application/json")
    assert (await failed(make_chat, reply)).why == "no credit"


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
        (["data: " + "x" * 8_400_000], "more than 8388608 bytes"),
        (["data: \udcff\udcfe\n\n"], "broken JSON"),
    ],
    ids=["bad_json", "null", "list", "choices", "no_events", "empty", "deep", "giant_line", "not_utf8"],
)
async def test_a_malformed_stream_is_unavailable_with_its_evidence(
    make_chat: MakeChat, raw: list[str], evidence: str
) -> None:
    error = await failed(make_chat, Reply(raw=raw))
    assert evidence in error.why
    assert len(error.why) <= 300


async def test_a_web_page_is_no_answer(make_chat: MakeChat) -> None:
    error = await failed(make_chat, Reply(body="<html>welcome</html>"))
    assert "web page" in error.why


async def test_an_endless_stream_is_cut(make_chat: MakeChat) -> None:
    error = await failed(make_chat, Reply(endless=True), max_response_bytes=200_000)
    assert error.what == "the answer is too long"


async def test_a_giant_json_answer_is_cut(make_chat: MakeChat) -> None:
    reply = Reply(body="x" * 500_000, content_type="application/json")
    assert (await failed(make_chat, reply, max_response_bytes=200_000)).what == "the answer is too long"


@pytest.mark.parametrize(
    ("finish", "why"), [("stop", "no text"), ("length", "max_tokens"), ("content_filter", "filtered")]
)
async def test_an_empty_answer_says_why_it_is_empty(make_chat: MakeChat, finish: str, why: str) -> None:
    error = await failed(make_chat, Reply(chunks=[" \n"], finish=finish))
    assert error.what == "the model's answer is empty"
    assert why in error.why


async def test_an_answer_that_does_not_stream_is_cut_at_its_own_limit(make_chat: MakeChat) -> None:
    async with FakeOpenAI(Reply(huge=200_000_000)) as api:
        with pytest.raises(ModelUnavailable) as caught:
            await collect(make_chat(api.base_url), ask())
        seen = await api.arrived()
        async with asyncio.timeout(30):
            await seen.ended.wait()
    assert caught.value.what == "the answer is too long"
    assert "8000000 bytes" in caught.value.why
    assert seen.disconnected
    assert seen.sent < 30_000_000  # the rest was never asked for


async def test_json_that_would_fill_the_memory_once_parsed_is_refused_unparsed(make_chat: MakeChat) -> None:
    body = '{"choices":[' + "{}," * 600_000 + "{}]}"
    error = await failed(make_chat, Reply(body=body, content_type="application/json"))
    assert "more than 500000 values" in error.why


async def test_an_errors_body_is_read_to_a_limit_and_no_longer_than_the_connection_may_take(
    make_chat: MakeChat,
) -> None:
    long = Reply(status=500, body="x" * 3_000_000, content_type="text/plain")
    assert len((await failed(make_chat, long)).why) < 400
    slow = Reply(status=500, body='{"error": {"message": "on fire"', hang="body")
    assert "on fire" in (await failed(make_chat, slow, connect_s=0.2)).why


async def test_an_errors_body_in_pieces_is_put_together(make_chat: MakeChat) -> None:
    words = "the model is overloaded, " * 8
    reply = Reply(status=503, body=json.dumps({"error": {"message": words}}), split=20)
    assert (await failed(make_chat, reply)).why == f"HTTP 503: {words.strip()}"


@pytest.mark.parametrize("status", [200, 500])
async def test_a_compressed_answer_is_never_unpacked(make_chat: MakeChat, status: int) -> None:
    reply = Reply(status=status, body="\x1f\x8b not unpacked", headers={"Content-Encoding": "gzip"})
    error = await failed(make_chat, reply)
    if status == 200:
        assert error.what == "the answer is compressed"
        assert "gzip" in error.why
        assert not error.transient
    else:
        assert error.why == "HTTP 500: no explanation"


async def test_a_few_bytes_that_hold_gigabytes_stay_a_few_bytes(make_chat: MakeChat) -> None:
    bomb = gzip.compress(bytes(30_000_000), compresslevel=1)
    head = b"HTTP/1.1 500 X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + bomb)
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        chat = make_chat(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        tracemalloc.start()
        try:
            with pytest.raises(ModelUnavailable):
                await collect(chat, ask())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await chat.close()
    assert peak < 5_000_000


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
