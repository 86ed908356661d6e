"""Looks names up in threads of their own, so that a name server that does not answer holds nobody else up.

getaddrinfo(3) can't be stopped, and takes half a minute where no server answers. In Python's pool of threads a few such
names would bring all else that is done there to a stand (files are written, programs are looked for), and the process
could not end before the last one was given up.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp.abc import AbstractResolver, ResolveResult

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LOOKUPS: Final = 32
"""Names at a time, those that nobody waits for any more among them."""

_FLAGS: Final = socket.AI_ADDRCONFIG
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_NAME: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV

_Name = tuple[str, int, socket.AddressFamily]
_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[list[ResolveResult]]"]

_lock: Final = threading.Lock()  # there may be several event loops in a process
_under_way: Final[dict[_Name, list[_Waiter]]] = {}


class Lookups(AbstractResolver):
    """Implements aiohttp's resolver; who asks for a name that is being looked up waits for the same answer."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses.

        Raises:
            OSError: there are none, nobody could be asked, or too many names are being looked up.
            ValueError: it is no name that there can be.
        """
        name = (host, port, family)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()
        with _lock:
            waiting = _under_way.get(name)
            if waiting is not None:
                waiting.append((loop, answer))
            elif len(_under_way) >= MAX_LOOKUPS:
                raise OSError(errno.EAGAIN, "too many names are being looked up, and no server answers")
            else:
                _under_way[name] = [(loop, answer)]
                _begin(name)
        return await answer

    async def close(self) -> None:
        """Nothing is held; what is under way ends by itself."""


def _begin(name: _Name) -> None:
    try:
        threading.Thread(target=_run, args=(name,), name=f"lookup:{name[0]}", daemon=True).start()
    except RuntimeError as error:
        del _under_way[name]
        raise OSError(errno.EAGAIN, "no thread is to be had to look a name up") from error


def _run(name: _Name) -> None:
    found: list[ResolveResult] = []
    failure: OSError | ValueError | None = OSError(errno.EIO, "looking the name up broke off")
    try:
        found, failure = _look_up(*name), None
    except (OSError, ValueError) as error:
        failure = error
    finally:  # also behind what nobody foresaw, such as no memory: else who waits would wait for ever
        with _lock:
            waiting = _under_way.pop(name)
        for loop, answer in waiting:
            with suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(_tell, answer, found, failure)


def _tell(
    answer: asyncio.Future[list[ResolveResult]], found: list[ResolveResult], failure: Exception | None
) -> None:
    if answer.done():
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(list(found))


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    return [
        ResolveResult(
            hostname=host, host=_shown(address), port=address[1], family=kind, proto=protocol, flags=_NUMERIC
        )
        for kind, _, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=_FLAGS
        )
        if isinstance(address[0], str)  # else Python was built without IPv6
    ]


def _shown(address: Sequence[str | int]) -> str:
    """Return an address as text, one of a single link with the name of its interface."""
    if len(address) == 4 and address[3]:
        return socket.getnameinfo(
            (str(address[0]), int(address[1]), int(address[2]), int(address[3])), _NAME
        )[0]
    return str(address[0])
