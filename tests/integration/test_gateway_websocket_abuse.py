"""What a hostile or broken client does to a WebSocket: floods, fragments, silence; others go on."""

from __future__ import annotations

import asyncio
import json
import resource
import socket as sockets
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.gateway.places import HIGH_BYTES, StreamTimes
from tests.fakes.gateway_site import Site, site
from tests.fakes.gateway_socket import talk
from tests.fakes.loop_clock import jump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT, CONTINUATION, PING, PONG, FINAL = 0x1, 0x0, 0x9, 0xA, 0x80
MANY = 1000


class Raw:
    """A socket below any library: frames as bytes. Source: RFC 6455, section 5.2."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def frame(self, kind: int, data: bytes = b"", *, final: bool = True) -> bytes:
        """Return a frame of less than 64 kB, with a mask of zeros."""
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        return bytes([(FINAL if final else 0) | kind]) + length + b"\0\0\0\0" + data

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def next(self) -> tuple[int, bytes]:
        """Return kind and data of the next frame."""
        async with asyncio.timeout(30):
            head = await self.reader.readexactly(2)
            length = head[1]
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2))
            return head[0] & 0x0F, await self.reader.readexactly(length)

    async def asked(self, **frame: object) -> dict[str, object]:
        await self.send(self.frame(TEXT, json.dumps(frame).encode()))
        kind, data = await self.next()
        assert kind == TEXT
        told: dict[str, object] = json.loads(data)
        return told

    async def leave(self) -> None:
        """Be gone without a word."""
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def closed(self) -> tuple[int, str]:
        """Return code and reason of the close frame, whatever comes before it."""
        while True:
            kind, data = await self.next()
            if kind == 0x8:
                return int.from_bytes(data[:2]), data[2:].decode()


async def raw(here: Site, *, token: str | None = None, small: bool = False) -> Raw:
    """Return a socket that is open; `small` leaves its buffer of what came in small."""
    plain = sockets.socket()
    if small:
        plain.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 16 * 1024)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", here.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=64 * 1024)
    lines = [
        "GET /v1/ws HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    if token != "":
        lines.append(f"Authorization: Bearer {token or here.token}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head, head
    return Raw(reader, writer)


# --- floods -----------------------------------------------------------------------------------------------


async def test_a_frame_in_thousands_of_pieces_is_one_frame(state_dir: Path) -> None:
    async with site(state_dir) as here:
        there = await raw(here)
        text = json.dumps({"type": "ping", "id": "p" * 255}).encode()
        pieces = [there.frame(TEXT, final=False)]
        pieces += [there.frame(CONTINUATION, final=False)] * 5000  # empty ones
        pieces += [there.frame(CONTINUATION, bytes([byte]), final=False) for byte in text]
        await there.send(b"".join(pieces))
        await there.send(there.frame(PING, b"in between") + there.frame(CONTINUATION))
        assert await there.next() == (PONG, b"in between")
        kind, data = await there.next()
        assert (kind, json.loads(data)) == (TEXT, {"type": "pong", "ref": "p" * 255})
        await there.leave()


async def test_pieces_without_end_are_cut_off_at_the_size_of_a_frame(state_dir: Path) -> None:
    async with site(state_dir, config=GatewayConfig(port=0, max_body_bytes=10_000)) as here:
        there = await raw(here)
        await there.send(there.frame(TEXT, b"x" * 100, final=False))
        with suppress(ConnectionError):
            for _ in range(200):
                await there.send(there.frame(CONTINUATION, b"x" * 100, final=False))
        assert (await there.closed())[0] == 1009
        await there.leave()


@pytest.mark.parametrize(
    "pieces",
    [
        [(CONTINUATION, b"x", True)],  # of nothing
        [(TEXT, b"x", False), (TEXT, b"x", True)],  # one begins within another
        [(PING, b"x", False)],  # control frames are never cut
        [(PING, b"x" * 126, True)],  # nor long
        [(0x3, b"", True)],  # there is no such kind
    ],
)
async def test_what_breaks_the_protocol_is_closed_with_1002(
    state_dir: Path, pieces: list[tuple[int, bytes, bool]]
) -> None:
    async with site(state_dir) as here:
        there = await raw(here)
        for kind, data, final in pieces:
            await there.send(there.frame(kind, data, final=final))
        assert (await there.closed())[0] == 1002
        await there.leave()
        assert (await here.call("GET", "/healthz"))[0] == 200


async def test_who_reads_no_answers_to_a_flood_of_pings_is_closed(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "clawd.gateway")
    async with site(state_dir, stream_times=StreamTimes(write_s=0.05)) as here, asyncio.TaskGroup() as group:
        there = await raw(here, small=True)
        there.writer.transport.set_write_buffer_limits(high=0)
        # The client's own library would read; this one leaves all in the kernel.
        there.reader._transport.pause_reading()  # type: ignore[attr-defined]

        async def flood() -> None:
            pings = there.frame(PING, b"x" * 125) * 500
            with suppress(ConnectionError):
                while True:
                    await there.send(pings)

        flooding = group.create_task(flood())
        most = 0
        async with asyncio.timeout(30):
            while "gateway_slow_reader" not in caplog.messages:
                connections = here.gateway._connections
                assert connections is not None
                waiting = [
                    watched._transport.get_write_buffer_size()
                    for watched in connections._open.values()
                    if watched._transport is not None
                ]
                most = max(most, *waiting, 0)
                await asyncio.sleep(0.005)
        assert most < 2 * HIGH_BYTES
        flooding.cancel()
        await there.leave()
        async with talk(here.port, here.token) as other:
            assert (await other.asked("ping"))["type"] == "pong"


async def test_pings_are_answered_in_order_with_their_data(state_dir: Path) -> None:
    async with site(state_dir) as here:
        there = await raw(here, token="")  # also before anybody said who it is
        await there.send(b"".join(there.frame(PING, b"%d" % n) for n in range(200)) + there.frame(PONG, b"?"))
        assert [await there.next() for _ in range(200)] == [(PONG, b"%d" % n) for n in range(200)]
        await there.leave()


async def test_pings_do_not_put_off_the_time_to_say_who_it_is(state_dir: Path) -> None:
    async with site(state_dir, stream_times=StreamTimes(auth_s=0.1)) as here, asyncio.TaskGroup() as group:
        there = await raw(here, token="")

        async def pinging() -> None:
            with suppress(ConnectionError):
                while True:
                    await there.send(there.frame(PING))
                    await asyncio.sleep(0.01)

        pings = group.create_task(pinging())
        assert await there.closed() == (1008, "no frame auth came in time")
        pings.cancel()
        await there.leave()


# --- who it is --------------------------------------------------------------------------------------------


async def test_a_second_auth_is_told_and_changes_nothing(state_dir: Path) -> None:
    two = GatewayConfig(
        port=0,
        tokens=(
            TokenConfig(name="a", token=Secret("first-secret"), scopes=("chat",)),
            TokenConfig(name="b", token=Secret("second-secret"), scopes=("chat",)),
        ),
    )
    async with site(state_dir, config=two) as here:
        there = await raw(here, token="")
        assert (await there.asked(type="auth", token="first-secret"))["account"] == "a"
        refused = await there.asked(type="auth", id="2", token="second-secret")
        assert (refused["type"], refused["code"], refused["ref"]) == ("error", "bad_frame", "2")
        await there.asked(type="send", id="m", conversation="c", text="hi")
        assert here.world.messages[0].address.account == "a"
        await there.leave()


@pytest.mark.parametrize(
    "first",
    [
        b'{"type": "auth", "token": "wrong"}',
        b'{"type": "auth", "token": "first-secret", "app_id": "nobody"}',
        b'{"type": "auth", "token": ""}',
        b'{"type": "auth", "token": {"$ne": ""}}',
        b'{"type": "subscribe", "conversation": "c1"}',
        b'{"type": "send", "id": "1", "conversation": "c1", "text": "hi"}',
    ],
)
async def test_nobody_gets_further_without_a_token(state_dir: Path, first: bytes) -> None:
    one = GatewayConfig(
        port=0, tokens=(TokenConfig(name="a", token=Secret("first-secret"), scopes=("chat",)),)
    )
    async with site(state_dir, config=one) as here:
        there = await raw(here, token="")
        await there.send(there.frame(TEXT, first))
        kind, data = await there.next()
        told = json.loads(data)
        assert (kind, told["type"]) == (TEXT, "error")
        assert "first-secret" not in str(told)
        jump(StreamTimes().auth_s)
        assert (await there.closed())[0] == 1008
        assert not here.world.messages
        await there.leave()


async def test_a_frame_that_is_played_again_on_another_socket_does_nothing_twice(state_dir: Path) -> None:
    async with site(state_dir) as here:
        turns = set()
        for _ in range(5):
            there = await raw(here)
            for _ in range(5):
                told = await there.asked(type="send", id="m1", conversation="c1", text="hi")
                turns.add(told["turn"])
            await there.leave()  # as a client that lost its line
        assert (len(turns), len(here.world.messages)) == (1, 1)


# --- silence ----------------------------------------------------------------------------------------------


async def test_sockets_whose_peers_vanished_are_noticed_and_their_places_are_free(state_dir: Path) -> None:
    """A peer that is gone without a word answers no ping, and neither does one that never reads."""
    few = GatewayConfig(port=0, max_sockets=5)
    async with site(state_dir, config=few, stream_times=StreamTimes(heartbeat_s=0.1)) as here:
        gone = [await raw(here) for _ in range(5)]
        for there in gone:
            there.reader._transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            while here.gateway._places._taken:
                await asyncio.sleep(0.01)
        await (await raw(here)).leave()  # there is room again
        for there in gone:
            await there.leave()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of a thousand sockets are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3 * MANY:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3 * MANY), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("many_files")
async def test_a_thousand_idle_sockets_hurt_nobody_and_end_with_clawd(state_dir: Path) -> None:
    async with site(state_dir) as here:
        idle = [await raw(here) for _ in range(MANY)]
        for there in idle[:: MANY // 10]:
            assert (await there.asked(type="subscribe", conversation="c1"))["type"] == "accepted"
        async with talk(here.port, here.token) as other:
            assert (await other.asked("send", id="m", conversation="c1", text="hi"))["status"] == "queued"
        for there in idle[:: MANY // 10]:
            assert json.loads((await there.next())[1])["text"] == "hi"
        assert (await here.call("GET", "/healthz"))[0] == 200
        await here.gateway.stop()
        assert {await there.closed() for there in idle} == {(1001, "clawd is stopping")}
        for there in idle:
            await there.leave()
