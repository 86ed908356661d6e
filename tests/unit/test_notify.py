"""The service manager hears what is going on, and a watchdog is fed only by the living."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from clawd.errors import JournalBroken
from clawd.ids import SystemClock
from clawd.notify import Notifier, watchdog_interval
from clawd.watchdog import Watchdog
from tests.fakes.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, state_dir: Path) -> Iterator[ServiceManager]:
    address = (
        f"@clawd-test-{os.getpid()}-{state_dir.name}" if request.param == "abstract" else state_dir / "notify"
    )
    with ServiceManager(address) as manager:
        yield manager


def test_each_message_is_one_datagram(manager: ServiceManager) -> None:
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": manager.address})
    notifier.status("replaying 3 turns")
    notifier.ready("2/3 bridges")
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()
    assert manager.received() == [
        {"STATUS": "replaying 3 turns"},
        {"READY": "1", "STATUS": "2/3 bridges"},
        {"READY": "1"},
        {"WATCHDOG": "1"},
        {"STOPPING": "1"},
    ]


def test_a_status_cannot_smuggle_in_another_assignment(manager: ServiceManager) -> None:
    Notifier(manager.address).status("bridge said:\nREADY=1")
    assert manager.received() == [{"STATUS": "bridge said: READY=1"}]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_service_manager_nothing_happens(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environ(environ)
    assert notifier._address is None
    notifier.ready()


def test_a_service_manager_that_is_gone_is_survived(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(str(state_dir / "gone")).ready()
    assert [record.getMessage() for record in caplog.records] == ["notify_failed"]


def test_a_service_manager_that_does_not_read_holds_nobody(state_dir: Path) -> None:
    with ServiceManager(state_dir / "notify") as manager:
        manager._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        notifier = Notifier(manager.address)
        for _ in range(1000):
            notifier.watchdog()
        assert len(manager.received()) < 1000


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "me"}, None),
        ({}, None),
    ],
)
def test_the_interval_is_half_the_watchdogs_period(environ: dict[str, str], interval: float | None) -> None:
    assert watchdog_interval(environ) == interval


class Part:
    """A part of the daemon whose proof can be told to fail."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.answer: Callable[[], Awaitable[object]] = _fine

    async def prove(self) -> None:
        self.asked.release()
        await self.answer()

    async def is_asked(self, times: int) -> None:
        """Return when it was asked `times` more from now on."""
        while not self.asked.locked():
            await self.asked.acquire()
        for _ in range(times):
            await self.asked.acquire()


async def _fine() -> None:
    pass


async def _stuck() -> None:
    await asyncio.Event().wait()


async def _broken() -> None:
    raise JournalBroken("fsync failed")


@pytest.mark.parametrize("failure", [_stuck, _broken])
async def test_one_part_that_fails_starves_the_watchdog_until_it_recovers(
    failure: Callable[[], Awaitable[object]], state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer, workers = Part(), Part()
    with ServiceManager(state_dir / "notify") as manager:
        watchdog = Watchdog(Notifier(manager.address), 0.02, SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watchdog.run({"writer": writer.prove, "workers": workers.prove}))
            assert await manager.receive() == {"WATCHDOG": "1"}
            workers.answer = failure
            await workers.is_asked(2)  # the round before was the last that could end well
            manager.received()
            await writer.is_asked(4)
            assert manager.received() == []
            assert any(list(record.__dict__.get("parts", ())) == ["workers"] for record in caplog.records)
            workers.answer = _fine
            assert await manager.receive() == {"WATCHDOG": "1"}
            task.cancel()


async def test_without_a_watchdog_the_task_ends_at_once(state_dir: Path) -> None:
    await Watchdog(Notifier(None), None, SystemClock()).run({"writer": _stuck})


async def test_a_blocked_loop_starves_the_watchdog(state_dir: Path) -> None:
    with ServiceManager(state_dir / "notify") as manager:
        watchdog = Watchdog(Notifier(manager.address), 0.01, SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watchdog.run({}))
            await manager.receive()
            manager.received()
            time.sleep(0.1)  # noqa: ASYNC251 - the blocked loop; ten rounds are missed
            assert manager.received() == []
            await manager.receive()
            task.cancel()
