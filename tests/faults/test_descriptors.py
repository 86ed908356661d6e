"""No descriptor is left: strangers hold them all at the gateway and at the control socket."""

from __future__ import annotations

import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.crash.world import world
from tests.faults.house import cpu_s, limit, logged, pid_of, state_of, until

LIMIT = 64


@pytest.mark.timeout(300)
async def test_a_daemon_without_descriptors_writes_on_waits_without_spinning_and_recovers(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here:
        await here.start()
        here.say(11, "before")  # connections to the model and to Telegram are kept
        await here.all_answered()
        await here.settled()
        gateway = urlsplit((await here.control("status"))["gateway"])
        limit(here, resource.RLIMIT_NOFILE, LIMIT)
        descriptors = Path(f"/proc/{pid_of(here)}/fd")
        with ExitStack() as sockets:
            for n in range(100):
                family = socket.AF_INET if n % 2 else socket.AF_UNIX
                stranger = sockets.enter_context(socket.socket(family, socket.SOCK_STREAM))
                stranger.setblocking(False)
                place = (str(gateway.hostname), gateway.port)
                stranger.connect_ex(place if n % 2 else str(state_of(here) / "clawd.sock"))
            await until(lambda: len(os.listdir(descriptors)) >= LIMIT - 2)  # noqa: PTH208 - /proc
            before, lines = cpu_s(here), len(here.output.read_bytes().splitlines())
            here.say(11, "in between")  # over the connections that it has
            await here.all_answered()
            await logged(here, "connections_wait")
            here.say(12, "a second later")  # the loop has tried again by then
            await here.telegram.wait_until(lambda: here.answers(12))
            assert cpu_s(here) - before < 2, "it spins"
            assert len(here.output.read_bytes().splitlines()) - lines < 20
        await here.settled()  # the control socket takes connections again
        here.say(13, "after")
        await here.all_answered()
        assert not here.judge().broken
        assert await here.stop() == 0
