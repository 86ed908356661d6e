"""The network goes away under a real daemon, and comes back: what waits goes on in order, and nothing doubles."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.crash.test_points import both
from tests.crash.world import MARK, World, answer_to, world
from tests.fakes.line import Line
from tests.fakes.openai_api import Reply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KILLS_AT: Final = frozenset(both("turn.offline", "turn.woken"))

WAIT_S = 90.0  # Telegram's supervisor may take up to a minute to try again


@asynccontextmanager
async def lines(here: World, profile: str) -> AsyncIterator[tuple[Line, Line]]:
    """A world whose Telegram and whose model are reached over lines that can be cut."""
    async with Line(here.telegram.url) as to_telegram, Line(here.model.base_url) as to_model:
        bot = {"token": here.telegram.token, "api_base": to_telegram.url, "allow": ["*"]}
        model = {"name": "main", "type": "chat", "base_url": to_model.url, "model": "fake-1"}
        gateway = {} if profile == "edge" else {"port": 0}
        here.configure(profile=profile, bridges={"telegram": bot}, models=[model], gateway=gateway)
        await here.start()
        await here.bridge_is("connected")
        yield to_telegram, to_model


async def post(here: World, text: str) -> str:
    """Send a message by the control socket; return its turn."""
    connector = aiohttp.UnixConnector(str(here.state_dir / "state" / "clawd.sock"))
    async with aiohttp.ClientSession(connector=connector) as session:
        answer = await session.post("http://clawd/control/v1/messages", json={"text": text})
        return str((await answer.json())["id"])


async def until(here: World, turn: str, **fields: Any) -> dict[str, Any]:
    """Return a turn's view once these fields of it are so."""
    async with asyncio.timeout(WAIT_S):
        while True:
            view: dict[str, Any] = await here.control(f"turns/{turn}")
            if all(view[name] == value for name, value in fields.items()):
                return view
            await asyncio.sleep(0.05)


async def killed(here: World, point: str) -> None:
    """Return once the daemon has died at this point."""
    assert await here.wait_dead(60) == -signal.SIGKILL, f"{point}\n{here.tail()}"


async def test_a_wait_for_the_network_is_neither_lost_nor_paid_for_whichever_commit_dies(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here, lines(here, "edge") as (_, to_model):
        await here.stop()
        to_model.cut()
        turn = ""
        for point in sorted(KILLS_AT):
            await here.start(fault=f"{point}:1:kill")
            if not turn:
                turn = await post(here, "one")
            await killed(here, point)
        await here.start()
        await until(here, turn, state="queued", waits_for="network")
        assert not here.model.requests
        await to_model.mend()
        assert (await until(here, turn, state="answered"))["answer"] == answer_to("one")
        assert [seen.last_user_text for seen in here.model.requests] == ["one"]
        await here.stop()


async def test_a_model_that_was_chosen_behind_a_waiting_turn_answers_it_whichever_commit_dies(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here, Line(here.model.base_url) as to_model:
        far = {"name": "far", "type": "chat", "base_url": to_model.url, "model": "fake-1"}
        near = {"name": "near", "type": "chat", "base_url": here.model.base_url, "model": "fake-1"}
        routes = {"default": {"models": ["far"]}}
        here.configure(profile="edge", models=[far, near], routes=routes, gateway={}, bridges={})
        to_model.cut()
        first, *others = ("accept:3", "claim:1", "turn.finished:1", "turn.finished:2")
        await here.start(fault=f"journal.after_commit:{first}:kill")
        turns = [await post(here, "one")]
        await until(here, turns[0], state="queued", waits_for="network")
        turns.append(await post(here, "two"))
        with pytest.raises(aiohttp.ClientError):
            await post(here, "/model near")
        await killed(here, first)
        for point in others:
            await here.start(fault=f"journal.before_commit:{point}:kill")
            await killed(here, point)
        await here.start()
        views = [await until(here, turn, state="answered") for turn in turns]
        assert [(view["answer"], view["model"]) for view in views] == [
            (answer_to("one"), "near"),
            (answer_to("two"), "near"),
        ]
        after = await until(here, await post(here, "three"), state="answered")
        assert (after["answer"], after["model"]) == (answer_to("three"), "near")
        await here.stop()


def logged(here: World) -> int:
    return len(here.output.read_bytes().splitlines())


async def test_an_edge_daemon_waits_for_the_network_over_a_kill_and_answers_in_order(state_dir: Path) -> None:
    async with world(state_dir) as here, lines(here, "edge") as (to_telegram, to_model):
        here.say(7, "before")
        await here.all_answered()
        await here.settled()
        to_telegram.cut()
        to_model.cut()
        here.say(7, "one")  # Telegram keeps them
        here.say(7, "two")
        first = await post(here, "three")
        second = await post(here, "four")
        await until(here, first, state="queued", waits_for="network", attempts=0)
        await here.bridge_is("transient_disconnect")
        status = await here.control("status")
        assert status["offline_since"] is not None
        assert status["queue"]["offline"] == 1, "the other stands behind it"
        assert status["gateway"] is None
        killed = len(here.output.read_bytes())
        await here.kill()
        await here.start()
        await until(here, first, state="queued", waits_for="network", attempts=0)
        async with asyncio.timeout(WAIT_S):  # the alert of the kill has been told, which takes it seconds
            while b"alerts_told_nobody" not in here.output.read_bytes()[killed:]:
                await asyncio.sleep(0.05)
        before = logged(here)
        await asyncio.sleep(20)  # the claim is about time: nothing spins while there is no network
        assert logged(here) - before <= 2, here.tail(10)
        await to_telegram.mend()
        await to_model.mend()
        views = [await until(here, turn, state="answered") for turn in (first, second)]
        assert [view["answer"] for view in views] == [answer_to("three"), answer_to("four")]
        await here.all_answered(WAIT_S)
        await here.settled()
        assert here.answers(7) == [answer_to(text) for text in ("before", "one", "two")]
        asked = [seen.last_user_text for seen in here.model.requests]
        assert sorted(asked) == sorted(["before", "one", "two", "three", "four"]), "each was asked once"
        assert (await here.control("status"))["offline_since"] is None
        await here.stop()


@pytest.mark.parametrize("profile", ["default", "edge"])
async def test_replies_wait_for_telegram_over_a_kill_and_arrive_once_in_order(
    state_dir: Path, profile: str
) -> None:
    async with world(state_dir) as here, lines(here, profile) as (to_telegram, _):
        here.say(7, "before")
        await here.all_answered()
        await here.settled()
        here.model.replies.append(Reply(hang="headers"))
        for text in ("one", "two"):
            here.say(7, text)
        await here.model.arrived(2)
        to_telegram.cut()
        here.model.release.set()
        async with asyncio.timeout(WAIT_S):
            while (await here.control("status"))["queue"]["deliveries_open"] < 2:
                await asyncio.sleep(0.05)
        await here.kill()
        await here.start()
        await to_telegram.mend()
        await here.all_answered(WAIT_S)
        await here.settled()
        assert here.answers(7) == [answer_to(text) for text in ("before", "one", "two")]
        await here.stop()


async def test_a_network_that_goes_away_in_silence_is_waited_for_as_one_that_refuses(state_dir: Path) -> None:
    async with (
        world(state_dir) as here,
        Line(here.telegram.url) as to_telegram,
        Line(here.model.base_url) as to_model,
    ):
        bot = {
            "token": here.telegram.token,
            "api_base": to_telegram.url,
            "allow": ["*"],
            "poll_timeout_s": 1,
            "request_timeout_s": 1,
        }
        model = {
            "name": "main",
            "type": "chat",
            "base_url": to_model.url,
            "model": "fake-1",
            "first_token_timeout_s": 2,
        }
        here.configure(profile="edge", bridges={"telegram": bot}, models=[model], gateway={})
        await here.start()
        await here.bridge_is("connected")
        here.say(7, "before")
        await here.all_answered()
        await here.settled()
        here.model.replies.append(Reply(hang="headers"))
        here.say(7, "one")
        await here.model.arrived(2)
        to_telegram.fall_silent()
        here.model.release.set()
        async with asyncio.timeout(WAIT_S):
            while (await here.control("status"))["queue"]["deliveries_open"] < 1:
                await asyncio.sleep(0.05)
        to_model.fall_silent()  # while the connection of the answer is still kept
        turn = await post(here, "two")
        await until(here, turn, state="queued", waits_for="network", attempts=0)
        await here.bridge_is("transient_disconnect", WAIT_S)
        await here.kill()
        await here.start()
        await until(here, turn, state="queued", waits_for="network", attempts=0)
        await to_model.mend()
        await to_telegram.mend()
        assert (await until(here, turn, state="answered"))["answer"] == answer_to("two")
        await here.all_answered(WAIT_S)
        await here.settled()
        # Telegram may have had it: it goes out again, with the mark that says so.
        told = [text.removeprefix(f"{MARK}\n") for text in here.answers(7)]
        assert told == [answer_to(text) for text in ("before", "one")]
        assert (await here.control("status"))["queue"]["dead"] == 0
        await here.stop()


async def test_a_default_daemon_fails_a_turn_at_once_and_says_why(state_dir: Path) -> None:
    async with world(state_dir) as here, lines(here, "default") as (to_telegram, to_model):
        to_telegram.cut()
        to_model.cut()
        view = await until(here, await post(here, "hello"), state="failed")
        assert view["exit_code"] == 69
        assert "no connection to 127.0.0.1" in json.dumps(view)
        await here.stop()
