"""The wall clock is set by a day under the running daemon; libfaketime does that without root."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from tests.crash.world import World, answer_to, world
from tests.fakes.openai_api import Reply
from tests.faults.house import events, state_of, until

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="faketime is not installed")

LIMITED = "That was a lot of messages at once."


def environ(file: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # its name before 0.9.8
        "FAKETIME_DONT_RESET": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # for an old glibc; threads that wait for each other spin with it
    }


def moment(here: World, event: str) -> datetime:
    """When the daemon thinks that it logged an event last."""
    return datetime.fromisoformat(events(here, event)[-1]["ts"])


async def put_off(here: World) -> None:
    """Return once a delivery waits for its second attempt, which nothing outside shows."""
    db = sqlite3.connect(f"file:{state_of(here)}/clawd.db?mode=ro", uri=True)
    waiting = "SELECT 1 FROM outbox WHERE state = 'pending' AND attempt > 0"
    await until(lambda: db.execute(waiting).fetchone())
    db.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("jump", ["+1d", pytest.param("-1d", marks=pytest.mark.slow)])
async def test_a_clock_set_by_a_day_changes_nothing_that_people_notice(jump: str, state_dir: Path) -> None:
    file = state_dir / "clock"
    file.write_text("+0")
    async with world(state_dir, access={"rate": "5/h"}, delivery={"max_age_s": 3600}) as here:
        here.model.choose = lambda seen: Reply(hang="headers") if "waits" in seen.last_user_text else None
        here.telegram.fault("sendMessage", "429", chat=12, retry_after=6)
        await here.start(environ=environ(file))
        here.say(11, "a-0")
        await here.all_answered()
        for n in range(6):
            here.telegram.user_says(14, f"limited-{n}")
        await here.telegram.wait_for_messages(14, 6, 30)
        here.say(13, "waits")
        await here.model.arrived(7)
        here.say(12, "put off")  # its sending is due in six seconds when the clock is set
        await put_off(here)
        before = moment(here, "turn_finished")
        fresh = file.with_suffix(".new")
        fresh.write_text(jump)
        fresh.rename(file)  # at once: half a file would be another time
        here.say(15, "tick")
        await here.telegram.wait_for_messages(15, 1, 30)
        hours = 24 if jump == "+1d" else -24
        await until(lambda: round((moment(here, "delivery_sent") - before).total_seconds() / 3600) == hours)
        here.say(11, "a-1")
        await here.telegram.wait_until(lambda: answer_to("a-1") in here.answers(11), 30)
        here.telegram.user_says(14, "one too many, still")
        here.model.release.set()
        await here.all_answered()
        await here.settled()
        assert not here.judge().broken, here.tail()
        assert sum(text.startswith(LIMITED) for text in here.answers(14)) == 1
        assert len(here.answers(14)) == 6
        assert (await here.control("dead"))["dead"] == []
        assert [here.paid_for(text) for text in ("a-0", "a-1", "waits", "put off")] == [1, 1, 1, 1]
        assert await here.stop() == 0
