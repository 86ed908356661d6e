"""What holds for every test: loopback only, a loop that nothing blocks, short temporary directories."""

from __future__ import annotations

import asyncio
import asyncio.constants
import gc
import ipaddress
import logging
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from clawd.texts import LANGUAGES, catalogue
from tests.fakes.folders import BASE
from tests.seeds import seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

_SENDING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKING_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex"})

# Waiting is what stops the loop; the metadata calls that BlockBuster also knows (stat, unlink, mkdir)
# take microseconds on a local disk and would only make the code longer.
_WATCHED = ("time.", "os.read", "os.write", "io.", "socket.", "ssl.", "sqlite3.", "builtins.")

# No example may fail for the machine's sake, and the same tree gives the same verdict each time. To look further
# than the usual examples: `make fuzz`.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "search", deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


for _language in LANGUAGES:
    catalogue(
        _language
    )  # read before any loop runs, as the daemon does; whichever tests run, and in what order


class OutsideNetworkError(RuntimeError):
    """A test tried to reach something else than this host. Not an OSError: no code under test may swallow it."""


def _is_here(host: object) -> bool:
    """Whether a host, by name or number, is this machine's loopback."""
    text = host.decode() if isinstance(host, bytes | bytearray) else str(host)
    if text in {"", "None", "localhost"} or text.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text == socket.gethostname()
    return address.is_loopback or address.is_unspecified


def _guard_network(event: str, args: tuple[object, ...]) -> None:
    """Refuse what leaves this host. `.invalid` names fail as DNS would, so that tests may use them."""
    if event in _LOOKING_UP:
        host = args[0]
        if str(host).rstrip(".").endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not _is_here(host):
            raise OutsideNetworkError(f"{event} of {host!r}: tests talk to loopback only")
    elif event in _SENDING:
        sock, address = args
        inet = isinstance(sock, socket.socket) and sock.family in {socket.AF_INET, socket.AF_INET6}
        if inet and isinstance(address, tuple) and not _is_here(address[0]):
            raise OutsideNetworkError(f"{event} to {address!r}: tests talk to loopback only")


def pytest_configure(config: pytest.Config) -> None:
    """Set the guards up before any test module is imported."""
    config.addinivalue_line("markers", "may_block: this test blocks its own event loop on purpose")
    # An audit hook also sees what C code does, and needs no name of ours or of the library replaced.
    sys.addaudithook(_guard_network)
    # asyncio's debug mode keeps for each coroutine, callback, task and future where it was made, of the latter two the
    # whole stack: together two fifths of all the time of tests. All else that it looks for, it looks for still: it
    # asks `_debug`. PYTHONASYNCIODEBUG=1 keeps the stacks.
    asyncio.constants.DEBUG_STACK_DEPTH = 1  # type: ignore[misc]  # final for programs, and tests are not one
    if not os.environ.get("PYTHONASYNCIODEBUG"):
        asyncio.BaseEventLoop.get_debug = lambda self: False  # type: ignore[method-assign]
    # Each process that imports aiohttp reads the system's certificates, which no test has a use for.
    os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    # In debug mode asyncio warns of each step that takes 0.1 s. On a busy machine that is any step, and many a test
    # looks at all that was logged.
    logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Executing "))
    # Started in the background, a run inherits SIGINT as ignored and would hand that on to every program it
    # starts. A signal with a handler is back to its default in a program that is executed. Source: signal(7).
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Spare the collector of garbage the millions of objects that tests are before they run: they stay to the end.

    It looked through them again and again while they grew: three fifths of the time of collecting. Those that are
    there then, it leaves alone while the tests run, too; what tests leave behind it finds as ever.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def _blockbuster() -> Iterator[BlockBuster]:
    guard = BlockBuster(["clawd", "bridges"])
    guard.functions = {k: v for k, v in guard.functions.items() if k.startswith(_WATCHED)}
    # The log's sink writes plainly: a line to a local file or the journal costs less than handing it over.
    for function in guard.functions.values():
        function.can_block_in("logging/__init__.py", {"emit"})
    guard.activate()
    yield guard
    guard.deactivate()


@pytest.fixture(autouse=True)
def _chance_is_the_same(request: pytest.FixtureRequest) -> None:
    """What our code leaves to chance, such as the length of a pause, falls alike in each run of a test."""
    random.seed(f"{request.node.nodeid} {seeded(0)}")


@pytest.fixture(autouse=True)
def _loop_stays_free(_blockbuster: BlockBuster, request: pytest.FixtureRequest) -> Iterator[None]:
    """A call from our code that blocks the event loop raises BlockingError."""
    if request.node.get_closest_marker("may_block") is None:
        yield
        return
    _blockbuster.deactivate()
    yield
    _blockbuster.activate()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty directory of mode 0700 with a path short enough for Unix sockets (107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="clawd-", dir=BASE))
    yield path
    shutil.rmtree(path, ignore_errors=True)
