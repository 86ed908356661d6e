"""A name server that does not answer holds up nobody but who asks it."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from clawd import lookups
from clawd.config.schema import NetworkConfig
from clawd.lookups import MAX_LOOKUPS, Lookups
from clawd.network import client_session


class NameServer:
    """Stands for getaddrinfo(3): it does not answer for `*.silent.example` until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []
        self._real = socket.getaddrinfo

    def __call__(self, host: str, *arguments: Any, **options: Any) -> Any:
        self.asked.append(host)
        if host.endswith(".silent.example"):
            self.answers.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(host, *arguments, **options)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.answers.set()
    _join()


def _join() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("lookup:"):
            thread.join()


async def _begun(server: NameServer, count: int) -> None:
    async with asyncio.timeout(30):
        while len(server.asked) < count:
            await asyncio.sleep(0)


def test_a_loop_ends_although_a_name_is_still_being_looked_up(server: NameServer) -> None:
    async def ask() -> None:
        async with client_session(NetworkConfig()) as session, asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(session.get("http://a.silent.example/"))
            await _begun(server, 1)
            asking.cancel()

    asyncio.run(ask())  # would wait for Python's own pool
    assert not server.answers.is_set()
    assert any(thread.name == "lookup:a.silent.example" for thread in threading.enumerate())


async def test_names_without_an_answer_hold_up_nothing_else(server: NameServer) -> None:
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(Lookups().resolve(f"{n}.silent.example", 80)) for n in range(MAX_LOOKUPS)]
        await _begun(server, MAX_LOOKUPS)
        assert await asyncio.to_thread(lambda: "done") == "done"
        with pytest.raises(OSError, match="too many names"):
            await Lookups().resolve("one-more.silent.example", 80)
        for each in asking:
            each.cancel()
    server.answers.set()
    async with asyncio.timeout(30):
        while lookups._under_way:
            await asyncio.sleep(0.001)
    assert await Lookups().resolve("localhost", 80)


async def test_who_asks_for_the_same_name_waits_for_the_same_answer(server: NameServer) -> None:
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(_outcome("a.silent.example")) for _ in range(5)]
        await _begun(server, 1)
        asking[0].cancel()
        server.answers.set()
    assert server.asked == ["a.silent.example"]
    assert [await each for each in asking[1:]] == [socket.EAI_AGAIN] * 4


async def _outcome(name: str) -> int | None:
    try:
        await Lookups().resolve(name, 80)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize("family", [socket.AF_UNSPEC, socket.AF_INET])
async def test_the_answer_is_that_of_the_librarys_own_resolver(family: socket.AddressFamily) -> None:
    for host in ("localhost", "127.0.0.1"):
        assert await Lookups().resolve(host, 80, family) == await aiohttp.ThreadedResolver().resolve(
            host, 80, family
        )


async def test_what_is_no_name_is_refused_as_ever() -> None:
    with pytest.raises(UnicodeError):
        await Lookups().resolve("a" * 70 + ".example", 80)


async def test_a_system_without_threads_is_told(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="no thread"):
        await Lookups().resolve("localhost", 80)
    assert not lookups._under_way


async def test_who_waits_is_told_also_where_a_look_up_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: Any, **__: Any) -> Any:
        raise MemoryError

    broke: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", broke.append)
    monkeypatch.setattr(socket, "getaddrinfo", break_off)
    async with asyncio.timeout(30):
        assert await _outcome("a.example") == errno.EIO
    _join()
    assert [each.exc_type for each in broke] == [MemoryError]
    assert not lookups._under_way
