"""A disk that is full, in full: the daemon refuses, pauses, and goes on by itself when there is room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from clawd.texts import say
from tests.crash.world import World, world
from tests.fakes.doors import TOKEN, Doors
from tests.fakes.openai_api import Reply
from tests.fakes.webhook_sender import SECRET, event
from tests.faults.house import events, pid_of, start_under, until

SIZE = "4m"
MOUNT = 'mount -t tmpfs -o size="$1",mode=700 tmpfs "$2" && shift 2 && exec "$@"'


class SmallDisk:
    """A file system of its own, which only the daemon has mounted; we reach it through /proc."""

    def __init__(self, here: World) -> None:
        self._here = here
        self.mount = here.state_dir / "disk"
        self.mount.mkdir()

    async def start(self) -> None:
        """Start the daemon on the disk; its state directory shows at the usual place."""
        await start_under(self._here, "unshare", "-rm", "sh", "-c", MOUNT, "sh", SIZE, str(self.mount))
        (self._here.state_dir / "state").symlink_to(self.seen / "state")

    @property
    def seen(self) -> Path:
        """The disk, as it looks from here."""
        return Path(f"/proc/{pid_of(self._here)}/root{self.mount}")

    def fill(self) -> None:
        """Leave no byte, also not in the last page of the log."""
        for path, piece in ((self.seen / "filler", 4096), (self.seen / "state" / "clawd.log", 1)):
            with path.open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(b"\n" * piece)

    def free(self) -> None:
        """Give the space back."""
        (self.seen / "filler").unlink()


@asynccontextmanager
async def on_a_small_disk(state_dir: Path) -> AsyncIterator[tuple[World, SmallDisk, Doors]]:
    async with world(state_dir) as here, aiohttp.ClientSession() as session:
        disk = SmallDisk(here)
        telegram = {"token": here.telegram.token, "api_base": here.telegram.url, "allow": ["*"]}
        here.configure(
            state_dir=str(disk.mount / "state"),
            bridges={"telegram": telegram, "hook": {"type": "webhook", "secret": SECRET}},
            gateway={"port": 0, "tokens": [{"name": "ops", "token": TOKEN}]},
        )
        await disk.start()
        url = (await here.control("status"))["gateway"]
        yield here, disk, Doors(here, session, url)


async def asked(here: World, text: str) -> str:
    """Return what a terminal reads as the answer to a command, which needs no commit."""
    connector = aiohttp.UnixConnector(str(here.state_dir / "state" / "clawd.sock"))
    async with aiohttp.ClientSession(connector=connector) as session:
        answer = await session.post("http://clawd/control/v1/messages", json={"text": text})
        return str(await answer.json())


def said_on_stderr(here: World, event_name: str) -> bool:
    return event_name in here.tail(200)


@pytest.mark.timeout(300)
async def test_a_full_disk_refuses_at_every_door_pauses_what_runs_and_resumes_by_itself(
    state_dir: Path,
) -> None:
    async with on_a_small_disk(state_dir) as (here, disk, doors):
        here.model.replies.append(Reply(hang="headers"))
        here.say(11, "in work")
        await here.model.arrived()
        disk.fill()
        padding = "y" * 50_000  # what the log has room for already is used up by a few of these
        taken = 0
        while (hook := await doors.hook(event(f"{padding} {taken}"))).status == 202:
            taken += 1
            assert taken < 50
        rest = await doors.rest({"text": f"{padding} rest"})
        assert (hook.status, rest.status) == (503, 503)
        assert min(int(answer.headers["Retry-After"]) for answer in (hook, rest)) >= 1
        ready = await doors.request("GET", "/readyz")
        assert (ready.status, (await doors.request("GET", "/healthz")).status) == (503, 200), ready
        await until(
            lambda: any('"disk"' in line for line in here.tail(400).splitlines() if "alert_firing" in line)
        )
        pause = (await here.control("status"))["journal_pause"]
        assert pause
        assert say("status_paused", None, why=pause) in await asked(here, "/status")
        here.say(12, "refused for now")
        await until(lambda: said_on_stderr(here, "updates_wait"))
        here.model.release.set()  # what the model answers can't be committed either
        await until(lambda: said_on_stderr(here, "turn_paused"))
        assert (here.answers(11), here.answers(12), here.telegram.pending()) == ([], [], 1)
        disk.free()
        await here.all_answered()
        again = await doors.hook(event("again"))
        assert again.status == 202
        turns = await doors.ended(1000)
        assert {turn["state"] for turn in turns} == {"answered"}
        assert len(turns) == taken + 3  # what was refused left nothing behind
        assert not here.judge().broken, here.tail()
        assert here.paid_for("in work") == 1
        assert (await doors.request("GET", "/readyz")).status == 200
        assert not (await here.control("status"))["journal_pause"]
        assert events(here, "log_lines_lost"), "the log was on the full disk as well"
        assert await here.stop() == 0
