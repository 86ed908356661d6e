"""A login by phone, a daemon that connects by itself and dies between a poll and its reply, and a reply in doubt."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.crash.world import World, answer_to, world
from tests.fakes.ilink_api import USER, FakeIlink
from tests.fakes.shell import Shell
from tests.fakes.weixin import write_login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def wechat(state_dir: Path, *, logged_in: bool = True) -> AsyncIterator[tuple[World, FakeIlink]]:
    """A daemon's world with WeChat as its only bridge."""
    async with FakeIlink() as ilink, world(state_dir) as here:
        here.configure(bridges={"weixin": {**ilink.section, "allow": ["*"]}})
        if logged_in:
            write_login(state_dir / "state" / "bridges" / "weixin", ilink)
        yield here, ilink


@pytest.mark.timeout(150)
@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.slow)])
async def test_a_message_after_a_login_is_answered_once_though_the_daemon_dies_on_the_way(
    state_dir: Path, when: str
) -> None:
    async with wechat(state_dir, logged_in=False) as (here, ilink):
        await here.start(fault=f"journal.{when}_commit:accept:1:kill")
        await here.bridge_is("bad_credentials", 60)
        ilink.qr_states = [{"status": "scaned"}, ilink.confirmed()]
        login = await Shell(state_dir)("bridges", "login", "weixin", "--json")
        assert login.code == 0, login.err
        assert login.json["state"] == "connected"
        ilink.user_says("hello")
        await here.wait_dead(60)
        assert ilink.sent == []
        await here.start()
        await ilink.wait_for_sent(1, 60)
        await here.settled()
        assert ilink.texts() == [answer_to("hello")]
        assert here.paid_for("hello") == 1
        assert await here.stop() == 0
        assert [call.name for call in ilink.log][-1] == "msg/notifystop"
        for path in (here.output, *(state_dir / "state").glob("*.log")):
            text = await asyncio.to_thread(path.read_text, errors="replace")
            assert ilink.token not in text
            assert text.count("bridge_down") <= 1
            assert "Traceback" not in text


@pytest.mark.timeout(150)
async def test_a_reply_whose_connection_broke_is_held_and_sent_again_only_by_the_owners_word(
    state_dir: Path,
) -> None:
    async with wechat(state_dir) as (here, ilink):
        ilink.fault("sendmessage", "reset-after")
        ilink.user_says("hello")
        await here.start()
        async with asyncio.timeout(60):
            while not (await here.control("dead"))["dead"]:
                await asyncio.sleep(0.02)
        held = (await Shell(state_dir)("dead", "list", "--json")).json["dead"]
        assert [item["text"] for item in held] == [answer_to("hello")]
        assert "no clear answer" in held[0]["why"]
        ilink.user_says("more")
        await ilink.wait_for_sent(2, 60)
        await here.settled()
        assert ilink.texts() == [answer_to("hello"), answer_to("more")], "held, not repeated; others go on"
        assert (await Shell(state_dir)("dead", "resubmit", held[0]["id"])).code == 0
        await ilink.wait_for_sent(3, 60)


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_what_is_parked_survives_a_kill_and_goes_out_in_order_after_the_next_message(
    state_dir: Path,
) -> None:
    async with wechat(state_dir) as (here, ilink):
        ilink.user_says("hello")
        await here.start()
        await ilink.wait_for_sent(1, 60)
        await here.settled()
        ilink.close_window()
        address = f"weixin:{ilink.bot_id}:{USER}"
        for n in range(2):
            assert (await Shell(state_dir)("send", address, f"push {n}")).code == 0
        await ilink.wait_until(lambda: bool(ilink.calls("getconfig")), 60)
        await _parked(state_dir)
        await here.kill()
        await here.start()
        await here.bridge_is("connected", 60)
        ilink.user_says("again")
        await ilink.wait_for_sent(4, 60)
        assert ilink.texts() == [answer_to("hello"), "push 0", "push 1", answer_to("again")]


async def _parked(state_dir: Path) -> None:
    """Return once the daemon has committed that a delivery is parked."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(_count_parked, state_dir):
            await asyncio.sleep(0.02)


def _count_parked(state_dir: Path) -> int:
    (path,) = (state_dir / "state").glob("*.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        (count,) = db.execute("SELECT count(*) FROM outbox WHERE state = 'parked'").fetchone()
    db.close()
    return int(count)
